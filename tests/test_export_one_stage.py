"""deploy.one_stage: the file of a one-stage detector finds what MMDetection's
own detector finds."""

import pickle
import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported import BACKENDS, picture, ranked
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from thorough import amount

from fbnetv3_mmdet.deploy.export import export
from fbnetv3_mmdet.deploy.inputs import as_batch, random_picture
from fbnetv3_mmdet.deploy.int8.quantizer import Quantizer
from fbnetv3_mmdet.deploy.latency import take_statistics
from fbnetv3_runtime.backends import Engine, load_model

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/fbnetv3/gfl_fbnetv3-a-dsmask-fpn_1xb4-2k_digits.py'
CLASSES = [*map(str, range(10))]
SIZE, PADDED = (224, 320), (200, 300)
LEVELS = [8, 16, 32]
COMMON = dict(num_classes=10, in_channels=64, feat_channels=64)
FOCAL = dict(type='FocalLoss', use_sigmoid=True, loss_weight=1.0)
ONE_ANCHOR = dict(
    type='AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=5,
    scales_per_octave=1,
    strides=LEVELS,
)
HEADS = {
    'GFL': {},
    'RetinaNet': dict(
        type='RetinaHead',
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=2,
            ratios=[0.5, 1.0],
            strides=LEVELS,
        ),
        loss_cls=FOCAL,
        **COMMON,
    ),
    'FCOS': dict(
        type='FCOSHead',
        stacked_convs=1,
        strides=LEVELS,
        regress_ranges=((-1, 40), (40, 80), (80, 1e8)),
        norm_on_bbox=True,
        centerness_on_reg=True,
        **COMMON,
    ),
    'ATSS': dict(
        type='ATSSHead',
        stacked_convs=1,
        anchor_generator=ONE_ANCHOR,
        loss_cls=FOCAL,
        **COMMON,
    ),
    'RTMDet': dict(
        type='RTMDetSepBNHead',
        stacked_convs=1,
        with_objectness=False,
        exp_on_reg=True,
        anchor_generator=dict(
            type='MlvlPointGenerator', offset=0, strides=LEVELS
        ),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        **COMMON,
    ),
}


def build(kind, **changes):
    """Return config and detector, of random weights that find things."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.type = kind
    if HEADS[kind]:
        cfg.model.bbox_head = dict(HEADS[kind])
    cfg.merge_from_dict(changes)
    cfg.model.train_cfg = None
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    take_statistics(model)
    with torch.no_grad():
        model.test_step(as_batch(random_picture(224, 320)))
        for name, parameter in model.bbox_head.named_parameters():
            if 'cls' in name and name.endswith('.bias'):
                parameter.zero_()
    return cfg, model.eval()


@pytest.fixture(scope='module')
def gfl(tmp_path_factory):
    """Return a detector, a file of its weights, and its file."""
    folder = tmp_path_factory.mktemp('gfl')
    cfg, model = build('GFL')
    torch.save(dict(state_dict=model.state_dict()), folder / 'random.pth')
    export(cfg, model, CLASSES, folder / 'random.onnx')
    return model, folder / 'random.pth', folder / 'random.onnx'


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_file_finds_what_mmdetection_finds(backend, gfl):
    model, _, path = gfl
    assert_finds_the_same(path, backend, model, [SIZE, PADDED])


@pytest.mark.parametrize('kind', [kind for kind in HEADS if kind != 'GFL'])
def test_a_file_of_each_head(kind, tmp_path):
    cfg, model = build(kind)
    path = tmp_path / 'detector.onnx'
    # of any size it takes three times as long
    size, sizes = amount((SIZE, [SIZE]), (None, [SIZE, PADDED]))
    export(cfg, model, CLASSES, path, size)
    assert_finds_the_same(path, 'onnxruntime', model, sizes)


def assert_finds_the_same(path, backend, model, sizes):
    """Check that a file finds what its detector finds, in each size."""
    run, _ = load_model(path, backend, Engine(1, 1))
    for size in sizes:
        picture = random_picture(*size)
        batch = as_batch(picture)
        with torch.no_grad():
            (expected,) = model.test_step(batch)
        expected = expected.pred_instances.numpy()
        found = run(picture[None])
        assert len(expected.scores) > 20
        assert len(found['scores']) == len(expected.scores)
        np.testing.assert_allclose(found['scores'], expected.scores, atol=1e-5)
        # boxes of equal scores may change places
        for i, label in enumerate(expected.labels):
            same = (found['labels'] == label) & (
                np.abs(found['boxes'] - expected.bboxes[i]).max(1) < 0.01
            )
            assert same.any()


@pytest.mark.slow
def test_the_tool_tests_a_file_as_a_checkpoint(gfl, tmp_path, monkeypatch):
    _, checkpoint, path = gfl
    monkeypatch.chdir(tmp_path)
    test = runpy.run_path(str(ROOT / 'tools/test.py'))['main']
    few = 'test_dataloader.dataset.num_images=3'
    found = []
    for file in (checkpoint, path):
        test([str(CONFIG), str(file), '--out', 'found.pkl']
             + ['--cfg-options', few])  # fmt: skip
        found.append(pickle.loads(Path('found.pkl').read_bytes()))
    for expected, result in zip(*found, strict=True):
        assert expected['img_id'] == result['img_id']
        scores = [
            one['pred_instances']['scores'] for one in (expected, result)
        ]
        assert len(scores[0]) > 20
        np.testing.assert_allclose(*scores, atol=1e-4)


@pytest.mark.slow
def test_integers_say_what_floats_say(gfl, tmp_path):
    model, _, path = gfl
    quantizer = Quantizer(path)
    assert set(quantizer.layers) == {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    }
    pictures = [picture(seed, 224, 320)[None] for seed in range(6)]
    quantizer.calibrate(pictures[:4])
    onnx.save(quantizer.build(quantizer.layers), tmp_path / 'int8.onnx')
    expected = ranked(path, 'onnxruntime', pictures[4:])
    for backend in BACKENDS:
        found = ranked(tmp_path / 'int8.onnx', backend, pictures[4:])
        # random weights amplify roundings
        assert np.corrcoef(found, expected)[0, 1] > 0.85


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (
            {'model.bbox_head.type': 'VFNetHead'},
            "model.bbox_head of type 'VFNetHead' cannot be exported",
        ),
        (
            {'model.test_cfg.nms.type': 'soft_nms'},
            r'model\.test_cfg\.nms=.* cannot be exported',
        ),
        (
            {'model.test_cfg.max_per_img': -1},
            r'model\.test_cfg\.max_per_img=-1 cannot be exported',
        ),
    ],
)
def test_what_is_not_supported_is_named(changes, words, tmp_path):
    cfg, model = build('GFL')
    if 'model.bbox_head.type' in changes:
        model.bbox_head.__class__ = type(
            'VFNetHead', (type(model.bbox_head),), {}
        )
    else:
        cfg, model = build('GFL', **changes)
    with pytest.raises(ValueError, match=words):
        export(cfg, model, CLASSES, tmp_path / 'x.onnx')
    assert not (tmp_path / 'x.onnx').exists()
