"""Each checkpoint starts a detector of each norm; wrappers leave no trace."""

import logging
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint
from torch import nn

from fbnetv3_mmdet.checkpoints import load_safely, to_d2go

CONFIGS = Path(__file__).parents[1] / 'configs' / 'fbnetv3'
C4 = 'faster-rcnn_fbnetv3-a-dsmask-tiny-c4_8xb4-540k_coco.py'
FPN = 'faster-rcnn_fbnetv3-g-fpn_8xb4-450k_coco.py'
GN = dict(type='GN', num_groups=8)
BATCH_NORMS = [
    dict(type='BN'),
    dict(type='SyncBN'),
    dict(type='NaiveSyncBN'),
]


def build(norm_cfg, config=C4, seed=0):
    """Build a detector whose numbers are all random, statistics too."""
    cfg = Config.fromfile(CONFIGS / config)
    cfg.model.norm_cfg = norm_cfg
    cfg.model.arch = 'FBNetV3_A_C5' if config == FPN else cfg.model.arch
    model = MODELS.build(cfg.model)
    torch.manual_seed(seed)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return model


@pytest.fixture(autouse=True)
def as_in_a_run():
    load_safely()


@pytest.fixture
def log(request):
    """Lines of MMEngine's log, with their levels."""
    lines = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda r: lines.append((r.levelname, r.getMessage()))
    MMLogger.get_instance(request.node.name).addHandler(handler)
    return lines


@pytest.fixture(params=['ours', 'd2go'])
def save(request, tmp_path):
    """Write a detector's weights in either layout; return the address."""

    def save(model, prefix=''):
        path, state = tmp_path / 'weights.pth', model.state_dict()
        if request.param == 'd2go':
            # D2Go calls its layers bn, whatever their type
            state = {k.replace('.gn.', '.bn.'): v for k, v in state.items()}
            state = to_d2go(state)
        key = {'ours': 'state_dict', 'd2go': 'model'}[request.param]
        torch.save({key: {prefix + k: v for k, v in state.items()}}, path)
        return f'd2go://{path}' if request.param == 'd2go' else str(path)

    return save


def assert_same(one, other, kinds):
    """Weights and biases of all layers of these kinds are equal."""
    pairs = list(zip(one.modules(), other.modules(), strict=True))
    layers = [pair for pair in pairs if isinstance(pair[0], kinds)]
    assert layers
    for mine, theirs in layers:
        for left, right in zip(
            mine.parameters(), theirs.parameters(), strict=True
        ):
            assert torch.equal(left, right)


NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


@pytest.mark.parametrize('config', [C4, FPN])
@pytest.mark.parametrize('norm_cfg', BATCH_NORMS, ids=lambda cfg: cfg['type'])
def test_gn_starts_from_each_batch_norm(norm_cfg, config, save, log):
    source, target = build(norm_cfg, config), build(GN, config, seed=1)
    load_checkpoint(target, save(source))
    assert_same(source, target, (nn.Conv2d, nn.Linear, *NORMS))
    lines = [line for line in log if 'of another type' in line[1]]
    norms = sum(isinstance(m, nn.GroupNorm) for m in target.modules())
    assert lines == [
        (
            'INFO',
            f'{norms} norms are of another type in the checkpoint: scale and '
            'shift are taken over, running statistics are left out',
        )
    ]
    assert not [text for _, text in log if 'unexpected key' in text]


def test_batch_norm_starts_from_gn(save, log):
    source, target = build(GN), build(dict(type='BN'), seed=1)
    first = target.backbone.stage0[0].norm
    before = first.running_mean.clone()
    load_checkpoint(target, save(source))
    assert_same(source, target, (nn.Conv2d, nn.Linear, *NORMS))
    assert torch.equal(first.running_mean, before)
    (warning,) = [line for line in log if 'of another type' in line[1]]
    assert warning[0] == 'WARNING' and 'start anew' in warning[1]
    assert not [text for _, text in log if 'missing key' in text]


def test_a_backbone_starts_from_another_norm(save):
    source = build(dict(type='BN'))
    cfg = Config.fromfile(CONFIGS / C4).model
    cfg.norm_cfg = GN
    cfg.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=save(source), prefix='backbone.'
    )
    target = MODELS.build(cfg)
    target.backbone.init_weights()
    assert_same(source.backbone, target.backbone, (nn.Conv2d, *NORMS))


def test_weights_of_a_wrapped_model_are_taken(save):
    source, target = build(dict(type='BN')), build(dict(type='BN'), seed=1)
    load_checkpoint(target, save(source, prefix='module.'), strict=True)
    assert_same(source, target, (nn.Conv2d, nn.Linear, *NORMS))
