"""search.space: genes stand for architectures and settings, exactly."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from fbnetv3_mmdet.archs import ARCHS
from fbnetv3_mmdet.cli import load_config
from fbnetv3_mmdet.search.files import Files
from fbnetv3_mmdet.search.limits import extreme
from fbnetv3_mmdet.search.options import Options
from fbnetv3_mmdet.search.promise import promising
from fbnetv3_mmdet.search.records import Trial
from fbnetv3_mmdet.search.setup import read_space
from fbnetv3_mmdet.search.space import PROPOSALS, make_space
from fbnetv3_mmdet.search.widths import DEPTH, HEAD, NECK

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).parents[1]
LR = 'optim_wrapper.optimizer.lr'
RECIPE = {LR: dict(log=(0.01, 0.16)), PROPOSALS: [10, 30]}


@pytest.fixture(scope='module')
def space():
    values = {LR: 0.04, PROPOSALS: 30}
    return make_space('FBNetV3_A_dsmask', RECIPE, values, (112, 160))


def blocks(rows):
    """One tuple a block, however rows are cut."""
    return [
        (r.op, r.kernel, r.channels, r.stride if i == 0 else 1, r.expand)
        for r in rows
        for i in range(r.repeats)
    ]


def test_members_of_the_family_are_candidates(space):
    c4 = {n for n, a in ARCHS.items() if len(a.trunk) == 4 and a.bbox}
    assert set(space.family) == c4
    for name, candidate in space.family.items():
        found, member = space.arch(candidate), ARCHS[name]
        for part in ('rpn', 'bbox'):
            assert blocks(getattr(found, part)) == blocks(
                getattr(member, part)
            )
        for stage, own in zip(found.trunk, member.trunk, strict=True):
            assert blocks(stage) == blocks(own)


def test_a_point_is_a_candidate_that_trains(space):
    point = [((7 * i) % 13) / 13 for i in range(len(space.genes))]
    genes = zip(space.genes, point, strict=True)
    candidate = tuple(gene.at(place) for gene, place in genes)
    settings = space.settings(candidate)
    arch = settings['model.arch']
    init_default_scope('mmdet')
    trunk = MODELS.build(dict(type='FBNetV3', arch=arch))
    with FlopCounterMode(display=False) as counter:
        features = trunk(torch.zeros(1, 3, 112, 160))
    assert 2 * space.costs(candidate)['trunk'].macs == (
        counter.get_total_flops()
    )
    assert features[-1].shape[1] == arch['rpn'][0][2]
    assert settings[PROPOSALS] in (10, 30)
    assert 0.01 <= settings[LR] <= 0.16
    assert len(space.features(candidate)) >= len(space.genes)


def test_what_differs_from_the_baseline_is_named(space):
    assert space.describe(space.baseline) == {}
    changed = (*space.baseline[:-2], 0.08, 30)
    assert space.describe(changed) == {LR: (0.04, 0.08)}


@pytest.mark.parametrize(
    'value', [[], {'log': (0, 1)}, {'range': (2, 1)}, {'any': (0, 1)}, 'x']
)
def test_ranges_are_checked(value):
    with pytest.raises(ValueError, match=r"recipe\['a.b'\].*give one"):
        make_space(None, {'a.b': value}, {'a.b': 1}, (112, 160))


def test_widths_of_a_one_stage_detector_fit_each_other(tmp_path):
    """A neck's channels are those that the head takes."""
    base = next(ROOT.glob('configs/fbnetv3/gfl_*-a-dsmask-fpn_*_digits.py'))
    cfg = load_config(str(base))
    options = Options(2000, limit=dict(latency=8.0))
    space = read_space(cfg, options)
    choices = {gene.name: gene.choices for gene in space.genes}
    # from a half to one and a half of 64
    assert choices[NECK] == choices[HEAD] == (32, 48, 64, 80, 96)
    values = {NECK: 32, HEAD: 48, DEPTH: 1}
    candidate = tuple(
        values.get(gene.name, value)
        for gene, value in zip(space.genes, space.baseline, strict=True)
    )
    found = Files(tmp_path, cfg, space).write_candidate('t', candidate)
    model = MODELS.build(found.model).eval()
    with torch.no_grad():
        scores, _ = model(torch.zeros(1, 3, 96, 128), mode='tensor')
    assert [tuple(level.shape) for level in scores] == [
        (1, 10, 12, 16), (1, 10, 6, 8), (1, 10, 3, 4)
    ]  # fmt: skip
    weights = dict(model.bbox_head.cls_convs.named_parameters())
    shapes = {n: w.shape for n, w in weights.items() if 'conv.weight' in n}
    assert [*shapes.values()] == [(48, 32, 3, 3)]
    # least and most of each width, for the range of the limit
    low, high = (extreme(space, choose) for choose in (min, max))
    assert [low[i] for i in range(3)] == [32, 32, 1]
    assert [high[i] for i in range(3)] == [96, 96, 3]


def test_latency_of_widths_is_estimated_from_those_measured():
    widths = {NECK: [32, 48, 64, 80, 96], HEAD: [32, 48, 64, 80, 96]}
    space = make_space(None, widths, {NECK: 64, HEAD: 64}, (0, 0))
    options = Options(300, limit=dict(latency=10.0))
    timed = [(32, 32), (64, 64), (96, 96), (96, 32), (32, 96)]
    trials = [
        Trial(n, candidate, 0, {}, dict(latency=sum(candidate) / 10))
        for n, candidate in enumerate(timed)
    ]
    assert promising([], space, options)((96, 96))  # nothing is known
    fits = promising(trials, space, options)
    assert fits((32, 48)) and not fits((80, 80))


def test_a_limit_that_is_not_counted_of_widths_is_named():
    base = next(ROOT.glob('configs/fbnetv3/gfl_*-a-dsmask-fpn_*_digits.py'))
    options = Options(2000, limit=dict(macs=1e9))
    with pytest.raises(ValueError, match=r'^search\.limit\.macs is counted'):
        read_space(load_config(str(base)), options)
