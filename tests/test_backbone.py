"""The backbone: shapes, wrong settings, freezing, tracing."""

import copy
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import revert_sync_batchnorm
from mmengine.model.efficient_conv_bn_eval import (
    turn_on_efficient_conv_bn_eval,
)
from torch import nn

from fbnetv3_mmdet import FBNetV3

NORMS = [
    dict(type='BN'),
    dict(type='SyncBN'),
    dict(type='NaiveSyncBN'),
    dict(type='GN', num_groups=8),
]


def test_odd_sizes_round_up():
    feats = FBNetV3(out_indices=(0, 1, 2, 3)).eval()(
        torch.zeros(1, 3, 197, 301)
    )
    assert [tuple(f.shape[2:]) for f in feats] == [
        (99, 151), (50, 76), (25, 38), (13, 19)
    ]  # fmt: skip


def test_width_gives_the_keypoint_trunk():
    feats = FBNetV3(width=0.75, out_indices=(0, 1, 2, 3)).eval()(
        torch.zeros(1, 3, 32, 32)
    )
    assert [f.shape[1] for f in feats] == [16, 24, 32, 88]


def test_own_architecture_and_grey_images():
    arch = dict(
        trunk=[[('conv', 3, 8, 2, 1)], [('ir', 3, 16, 2, 1, 2)]],
        rpn=[('ir', 3, 16, 1, 1, 2)],
    )
    model = FBNetV3(arch, out_indices=(1,), in_channels=1)
    assert model(torch.zeros(2, 1, 8, 8))[0].shape == (2, 16, 2, 2)


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        (dict(arch='FBNetV3_Q'), "arch='FBNetV3_Q'"),
        (dict(out_indices=(4,)), r'out_indices=\(4,\).*0 \.\.\. 3'),
        (dict(out_indices=()), r'out_indices=\(\)'),
        (dict(frozen_stages=5), 'frozen_stages=5 .*from 0.*to 4'),
        (dict(frozen_stages=-1), 'frozen_stages=-1'),
        (dict(frozen_stages=True), 'frozen_stages=True'),
        (dict(norm_cfg=dict(type='IN')), "'IN'.*NaiveSyncBN"),
        (dict(norm_cfg=dict(type='GN', num_groups=5)), r'stage0\.0'),
    ],
)
def test_wrong_settings_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        FBNetV3(**setting)


@pytest.mark.parametrize('norm_cfg', NORMS, ids=lambda c: c['type'])
@pytest.mark.parametrize('frozen', [0, 2, 4])
def test_frozen_stages_stay_as_they_are(norm_cfg, frozen):
    torch.manual_seed(0)
    model = FBNetV3('FBNetV3_A_dsmask_tiny', (3,), frozen, norm_cfg)
    model = revert_sync_batchnorm(model)
    for _ in range(2):  # epochs: evaluation, then training again
        model.eval()
        model.train()
        before = copy.deepcopy(model.state_dict())
        _one_step(model)
        _check_what_moved(model, before, frozen)
    resumed = FBNetV3('FBNetV3_A_dsmask_tiny', (3,), frozen, norm_cfg)
    resumed = revert_sync_batchnorm(resumed)
    resumed.load_state_dict(model.state_dict())
    resumed.train()
    before = copy.deepcopy(resumed.state_dict())
    _one_step(resumed)
    _check_what_moved(resumed, before, frozen)


def _one_step(model):
    params = [p for p in model.parameters() if p.requires_grad]
    out = model(torch.randn(2, 3, 64, 64))[0].square().mean()
    if params:
        out.backward()
        torch.optim.SGD(params, lr=0.1, weight_decay=0.1).step()


def _check_what_moved(model, before, frozen):
    for name, value in model.state_dict().items():
        stage = int(name.removeprefix('stage')[0])
        moved = not torch.equal(value, before[name])
        if stage < frozen:
            assert not moved, name
        elif name.endswith(('running_mean', 'pw.conv.weight')):
            assert moved, name


def test_norm_eval_keeps_statistics_but_trains_weights():
    model = FBNetV3('FBNetV3_A_dsmask_tiny', norm_eval=True).train()
    before = copy.deepcopy(model.state_dict())
    _one_step(model)
    for name, value in model.state_dict().items():
        if 'running' in name:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(
        model.stage1[0].pw.conv.weight, before['stage1.0.pw.conv.weight']
    )


@pytest.mark.parametrize('kind', ['BN', 'NaiveSyncBN'])
def test_convolutions_and_norms_are_fused_for_evaluation(kind):
    model = FBNetV3('FBNetV3_A', norm_cfg=dict(type=kind)).train()
    for name, value in model.named_buffers():
        if 'running' in name:
            value.uniform_(0.5, 2)
    x = torch.randn(2, 3, 64, 64)
    plain = copy.deepcopy(model)
    turn_on_efficient_conv_bn_eval(nn.Sequential(model), ['0'])
    for mode in (False, True, False):  # it was traced in training mode
        model.train(mode)
        plain.train(mode)
        with patch.object(F, 'batch_norm', wraps=F.batch_norm) as normalise:
            found = model(x)[0]
        assert normalise.called == mode
        torch.testing.assert_close(found, plain(x)[0], rtol=1e-3, atol=1e-4)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
