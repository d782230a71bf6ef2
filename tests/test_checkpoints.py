"""Names, and D2Go's weights wherever MMEngine takes a checkpoint."""

import copy
import logging
import tempfile
from pathlib import Path

import pytest
import torch
from mmdet.apis import DetInferencer, init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from random_detector import random_weights

from fbnetv3_mmdet.archs import ARCHS
from fbnetv3_mmdet.checkpoints import (
    from_d2go,
    is_extra,
    read_d2go,
    to_d2go,
)
from fbnetv3_mmdet.search.space import as_dict

CONFIGS = Path(__file__).parents[1] / 'configs/fbnetv3'
CONFIG = CONFIGS / 'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
# D2Go's configs and ours
ZOO = {
    'faster_rcnn_fbnetv3a_C4': 'faster-rcnn_fbnetv3-a-c4_8xb4-540k_coco',
    'faster_rcnn_fbnetv3a_dsmask_C4': CONFIG.stem,
    'faster_rcnn_fbnetv3g_fpn': 'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco',
    'mask_rcnn_fbnetv3a_C4': 'mask-rcnn_fbnetv3-a-c4_8xb4-540k_coco',
    'mask_rcnn_fbnetv3a_dsmask_C4': 'mask-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k'
    '_coco',
    'mask_rcnn_fbnetv3g_fpn': 'mask-rcnn_fbnetv3-g-fpn_8xb4-450k_coco',
}
KEYPOINTS = 'keypoint_rcnn_fbnetv3a_dsmask_C4'
HEADS = [
    f'roi_head.bbox_head.{layer}.{leaf}'
    for layer in ('fc_cls', 'fc_reg')
    for leaf in ('bias', 'weight')
]


def recorded_shapes(shared, name):
    lines = (shared / f'd2go/{name}.keys.txt').read_text().splitlines()
    rows = (line.split('\t') for line in lines)
    return {key: shape for key, shape, _ in rows}


def build(num_classes=80, **backbone):
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIG).model
    cfg.backbone.update(backbone)
    cfg.roi_head.bbox_head.num_classes = num_classes
    return MODELS.build(cfg)


@pytest.fixture
def log(request):
    """Lines of MMEngine's log, with their levels."""
    lines = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda r: lines.append((r.levelname, r.getMessage()))
    logger = MMLogger.get_instance(request.node.name)  # the current one now
    logger.addHandler(handler)
    return lines


def said(log, address):
    """Return what was said of a checkpoint that was loaded."""
    assert not [text for _, text in log if 'do not match' in text]
    return [line for line in log if line[1].startswith(address)]


@pytest.fixture(scope='module')
def recorded():
    """Return a file in D2Go's layout, of random weights."""
    weights = random_weights(str(CONFIG))
    return dict(model=to_d2go(weights), iteration=0)


@pytest.fixture
def write(recorded, tmp_path):
    """Write that checkpoint, after a change to its weights."""

    def write(change=None, **entries):
        file = {**copy.deepcopy(recorded), **entries}
        if change:
            change(file['model'])
        path = tmp_path / 'weights.pth'
        torch.save(file, path)
        return f'd2go://{path}'

    return write


# Names


@pytest.mark.parity
@pytest.mark.parametrize('name', [*ZOO, KEYPOINTS])
def test_every_name_has_one_of_ours_and_back(shared, name):
    theirs = {key: key for key in recorded_shapes(shared, name)}
    ours = from_d2go(theirs)
    dropped = {key for key in ours if is_extra(key)}
    assert dropped == {
        key for key in theirs if key.startswith('roi_heads.keypoint_head.')
    }
    assert bool(dropped) == (name == KEYPOINTS)
    kept = {key: value for key, value in ours.items() if key not in dropped}
    assert len(ours) == len(theirs)
    back = to_d2go(kept)
    assert all(key == value for key, value in back.items())
    assert len(back) == len(kept)


@pytest.mark.parity
@pytest.mark.parametrize('name', ZOO)
def test_models_have_just_the_reference_tensors(shared, name):
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(CONFIGS / f'{ZOO[name]}.py').model)
    shapes = {k: str(tuple(v.shape)) for k, v in model.state_dict().items()}
    assert shapes == from_d2go(recorded_shapes(shared, name))


@pytest.mark.parametrize(
    ('rename', 'name', 'source'),
    [
        (from_d2go, 'backbone.body.trunk0.fbnetv2_1_0.conv.weight', 'D2Go'),
        (from_d2go, 'backbone.body.trunk0.fbnetv2_0_0.conv.gamma', 'D2Go'),
        (from_d2go, 'backbone.stem.conv1.weight', 'D2Go'),
        (to_d2go, 'backbone.layer1.0.conv1.weight', 'MMDetection'),
        (to_d2go, 'backbone.stage0.0.gn.weight', 'MMDetection'),
    ],
)
def test_other_names_are_listed(rename, name, source):
    with pytest.raises(ValueError, match=f'{source}: {name}; give'):
        rename({name: 0})


# Ways in


def by_function(address):
    model = build()
    load_checkpoint(model, address)
    return model


def by_init_cfg(address):
    model = build()
    model.init_cfg = dict(type='Pretrained', checkpoint=address)
    model.init_weights()
    return model


def by_init_detector(address):
    return init_detector(str(CONFIG), address, device='cpu')


def by_inferencer(address):
    return DetInferencer(str(CONFIG), address, device='cpu').model


def by_runner(address, num_classes=80):
    """Load as training and testing do, with D2Go's EMA."""
    cfg = Config.fromfile(CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            build(num_classes),
            folder,
            load_from=address,
            custom_hooks=cfg.custom_hooks,
            default_scope='mmdet',
            experiment_name=Path(folder).name,
        )
        runner.call_hook('before_run')
        runner.load_or_resume()
    return runner.model


WAYS = [by_function, by_init_cfg, by_init_detector, by_inferencer, by_runner]


@pytest.mark.parametrize('load', WAYS)
def test_every_way_in_gives_the_recorded_weights(load, write, recorded):
    state = to_d2go(load(write()).state_dict())
    assert state.keys() == recorded['model'].keys()
    for name, value in recorded['model'].items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize('load', WAYS)
def test_what_does_not_fit_is_listed_by_every_way_in(load, write):
    def spoil(weights):
        del weights['backbone.body.trunk2.fbnetv2_2_1.pw.conv.weight']
        del weights['proposal_generator.rpn_head.rpn_regressor.bbox_pred.bias']
        name = 'roi_heads.box_head.roi_box_conv.0.fbnetv2_0_3.pwl.bn.weight'
        weights[name] = torch.ones(7)

    address = write(spoil)
    with pytest.raises(ValueError) as error:
        load(address)
    assert f'checkpoint={address!r} does not fit' in str(error.value)
    assert (
        '2 missing: backbone.stage2.1.pw.conv.weight, rpn_head.rpn_reg.bias; '
        '1 mis-shaped: roi_head.shared_head.blocks.3.pwl.bn.weight (7,), not '
        '(160,); choose'
    ) in str(error.value)


@pytest.mark.parametrize('prefix', [None, 'backbone', 'backbone.'])
def test_a_backbone_takes_its_part(prefix, write, recorded, log):
    init_cfg = dict(type='Pretrained', checkpoint=write())
    if prefix:
        init_cfg['prefix'] = prefix
    model = build(init_cfg=init_cfg)
    model.init_weights()
    name = 'stage3.7.dw.conv.weight'
    theirs = 'backbone.body.trunk3.fbnetv2_3_7.dw.conv.weight'
    assert torch.equal(
        model.backbone.state_dict()[name], recorded['model'][theirs]
    )
    assert not [text for _, text in log if 'dropped' in text]


def test_another_backbone_than_the_checkpoints_is_refused(write):
    init_cfg = dict(type='Pretrained', checkpoint=write(), prefix='backbone')
    model = build(arch='FBNetV3_A_dsmask_tiny', init_cfg=init_cfg)
    with pytest.raises(ValueError, match=r'mis-shaped: stage0\.0\.bn\.bias'):
        model.backbone.init_weights()


def test_other_classes_start_anew(write, recorded, log):
    model = build(num_classes=3)
    before = copy.deepcopy(model.state_dict())
    address = write()
    load_checkpoint(model, address, strict=True)
    after = model.state_dict()
    for name in HEADS:
        assert torch.equal(after[name], before[name]), name
    state = to_d2go(after)
    rest = [n for n in state if not n.startswith('roi_heads.box_predictor.')]
    assert len(rest) == len(state) - len(HEADS)
    for name in rest:
        assert torch.equal(state[name], recorded['model'][name]), name
    assert said(log, address) == [
        (
            'WARNING',
            f'{address}: re-initialised for another number of classes: '
            + ', '.join(HEADS),
        )
    ]


def test_training_warns_of_other_classes_once(write, capsys):
    by_runner(write(), num_classes=3)
    text = ''.join(capsys.readouterr())
    assert text.count('re-initialised for another number of classes') == 1
    assert 'do not match' not in text


def test_extras_are_dropped_in_one_line(write, log):
    def add(weights):
        weights['pixel_mean'] = torch.zeros(3, 1, 1)
        weights['pixel_std'] = torch.ones(3, 1, 1)
        anchors = 'proposal_generator.anchor_generator.cell_anchors.0'
        weights[anchors] = torch.zeros(15, 4)
        mask_head = 'roi_heads.mask_head.predictor.mask_fcn_logits'
        weights[f'{mask_head}.weight'] = torch.zeros(80, 64, 1, 1)
        weights[f'{mask_head}.bias'] = torch.zeros(80)
        keypoints = 'roi_heads.keypoint_head.feature_extractor.0.fbnetv2_0_0'
        weights[f'{keypoints}.pw.conv.weight'] = torch.zeros(1, 1, 1, 1)

    address = write(add)
    load_checkpoint(build(), address)
    assert said(log, address) == [
        (
            'INFO',
            f'{address}: dropped 6 tensors that the model has no place for, '
            'of pixel_mean, pixel_std, proposal_generator, '
            'roi_head.mask_head, roi_heads',
        )
    ]


# D2Go's files


@pytest.mark.parametrize(
    ('ending', 'value'), [('', 2.0), ('?ema=0', 1.0)], ids=['ema', 'plain']
)
def test_averages_are_taken_unless_declined(ending, value, write, recorded):
    name = 'backbone.body.trunk0.fbnetv2_0_0.bn.weight'
    weights = {**recorded['model'], name: torch.full((16,), 1.0)}
    average = {**recorded['model'], name: torch.full((16,), 2.0)}
    average['pixel_mean'] = torch.zeros(3, 1, 1)
    address = write(model=weights, ema_state=average)
    model = by_function(address + ending)
    assert model.backbone.stage0[0].bn.weight.tolist() == [value] * 16


def test_layers_that_fit_are_taken_where_that_is_asked_for(write, recorded):
    arch = as_dict(ARCHS['FBNetV3_A_dsmask'])
    first, *others = arch['trunk'][1]
    arch['trunk'][1] = [(*first[:1], 3, *first[2:]), *others]  # was 5x5
    model = build(arch=arch)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=r'1 mis-shaped: .*dw.*5, 5\), not'):
        load_checkpoint(model, write())
    load_checkpoint(model, f'{write()}?ema=0&fit=part')
    after, state = model.state_dict(), from_d2go(recorded['model'])
    kept = {n for n, v in after.items() if v.shape != state[n].shape}
    assert kept == {'backbone.stage1.0.dw.conv.weight'}
    for name, value in after.items():
        expected = before[name] if name in kept else state[name]
        assert torch.equal(value, expected), name


def test_weights_alone_are_taken_too(recorded, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(recorded['model'], path)
    assert len(read_d2go(str(path))) == len(recorded['model'])


@pytest.mark.parametrize(
    ('address', 'message'),
    [
        ('d2go://nothing.pth', r"'nothing.pth' is neither .*faster_rcnn_fbne"),
        ('d2go://faster_rcnn_fbnetv3a_C4?ema=1', "ends in 'ema=1'; .* ema=0"),
    ],
)
def test_wrong_addresses_name_the_choices(address, message):
    with pytest.raises(ValueError, match=message):
        load_checkpoint(torch.nn.Linear(1, 1), address)


def test_relative_paths_and_home_are_taken(write, tmp_path, monkeypatch):
    write()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert read_d2go('weights.pth').keys() == read_d2go('~/weights.pth').keys()


def test_a_checkpoint_of_mmdetection_is_no_d2go(tmp_path):
    path = tmp_path / 'ours.pth'
    torch.save(dict(state_dict={}), path)
    with pytest.raises(ValueError, match='not a checkpoint of D2Go.*alone'):
        read_d2go(str(path))


# timm's


def test_timm_weights_reach_a_backbone(monkeypatch):
    timm = pytest.importorskip('timm')
    untrained = timm.create_model('fbnetv3_b')

    def create_model(name, pretrained):
        assert (name, pretrained) == ('fbnetv3_b.ra2_in1k', True)
        return untrained

    monkeypatch.setattr(timm, 'create_model', create_model)
    checkpoint = 'timm://fbnetv3_b.ra2_in1k'
    backbone = MODELS.build(
        dict(
            type='FBNetV3',
            arch='fbnetv3_b',
            init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
        )
    )
    backbone.init_weights()
    assert torch.equal(
        backbone.stage4[-2].pwl.conv.weight,
        untrained.blocks[5][-1].conv_pwl.weight,
    )
    with pytest.raises(ValueError, match=r'does not fit.* backbone\.stage0'):
        load_checkpoint(build(), checkpoint)


def test_timm_without_a_net_says_so(monkeypatch):
    timm = pytest.importorskip('timm')

    def create_model(name, pretrained):
        raise RuntimeError('no route\nto host')

    monkeypatch.setattr(timm, 'create_model', create_model)
    with pytest.raises(OSError, match='fbnetv3_b: RuntimeError: no route to'):
        load_checkpoint(torch.nn.Linear(1, 1), 'timm://fbnetv3_b')
