"""Every shipped config trains a step; facts of the recipe."""

from pathlib import Path

import pytest
import torch

import fbnetv3_mmdet  # noqa: F401

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

FOLDER = Path(__file__).parents[1] / 'configs/fbnetv3'
CONFIGS = sorted(FOLDER.glob('*.py'))
DEFAULT = FOLDER / 'faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'


def is_of_another_arch(path):
    """Whether a config differs from its base by nothing but its name."""
    lines = path.read_text().splitlines()[2:]
    return len(lines) == 1 and lines[0].startswith('model = dict(arch=')


OTHER_ARCHS = [path for path in CONFIGS if is_of_another_arch(path)]


def build(cfg):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    return model


def total_loss(model, num_classes):
    data = demo_mm_inputs(
        2, [[3, 96, 128]] * 2, num_classes=max(num_classes, 2), with_mask=True
    )
    for sample in data['data_samples']:
        sample.gt_instances.labels %= num_classes  # it draws none for one
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    return model.parse_losses(losses)[0]


@pytest.mark.parametrize('path', OTHER_ARCHS, ids=lambda p: p.stem)
def test_config_of_another_architecture_is_built(path):
    cfg = Config.fromfile(path)
    init_default_scope('mmdet')
    with torch.device('meta'):
        MODELS.build(cfg.model)


@pytest.mark.parametrize(
    'path',
    [path for path in CONFIGS if path not in OTHER_ARCHS],
    ids=lambda p: p.stem,
)
def test_config_takes_one_step(path):
    cfg = Config.fromfile(path)
    if 'roi_head' in cfg.model:
        cfg.model.train_cfg.rcnn.sampler.num = 32  # most of a step's time
    model = build(cfg).train()
    head = cfg.model.get('roi_head', cfg.model).bbox_head
    total = total_loss(model, head.num_classes)
    total.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert total.isfinite()
    assert not [n for n, p in trained.items() if p.grad is None]
    assert not [n for n, p in trained.items() if not p.grad.isfinite().all()]


def test_weight_decay_spares_norms():
    cfg = Config.fromfile(DEFAULT)
    model = build(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    norms = {
        id(p)
        for m in model.modules()
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
        for p in m.parameters()
    }
    for group in wrapper.param_groups:
        for param in group['params']:
            decay = 0 if id(param) in norms else 1e-4
            assert group['weight_decay'] == decay
