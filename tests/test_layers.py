"""Blocks: sizes, initial weights, and inputs solved by hand."""

import math

import pytest
import torch

from fbnetv3_mmdet.archs import Row, make_divisible, scale_channels
from fbnetv3_mmdet.models.layers import InvertedResidual, build_stage

pytestmark = pytest.mark.same_on_upstream

BN = dict(type='BN')


@pytest.mark.parametrize(
    ('value', 'rounded'),
    [(84, 88), (276, 280), (10, 16), (18, 24), (30, 32), (42, 40), (66, 64),
     (330, 328), (3, 8), (17, 24), (64, 64)],
)  # fmt: skip
def test_rounding_is_that_of_the_reference(value, rounded):
    assert make_divisible(value) == rounded


def test_width_scales_like_the_keypoint_config():
    scaled = [scale_channels(c, 0.75) for c in (16, 32, 40, 72, 112, 160)]
    assert scaled == [16, 24, 32, 56, 88, 120]
    assert scale_channels(84, 1) == 84  # D2Go rounds only where it scales


def test_block_without_expansion_is_linear_and_skips():
    block = InvertedResidual(1, 1, 'ir', 3, 1, 8, BN).eval()
    assert block.residual and block.pw is not None
    block = InvertedResidual(8, 8, 'ir', 3, 1, 1, BN).eval()
    assert block.pw is None
    torch.nn.init.dirac_(block.dw.conv.weight, groups=8)
    torch.nn.init.dirac_(block.pwl.conv.weight)
    x = torch.randn(2, 8, 5, 7)
    # x + BN(x) with BN's initial statistics, negative values kept: no ReLU
    expected = x + x / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ('stride', 'size'), [(1, (7, 9)), (2, (4, 5)), (-2, (14, 18))]
)
def test_stride_and_upsampling(stride, size):
    block = InvertedResidual(8, 8, 'ir', 5, stride, 2, BN)
    assert block(torch.zeros(1, 8, 7, 9)).shape[2:] == size
    assert block.residual == (stride == 1)


def test_squeeze_excite_gates_the_raw_depthwise_output():
    block = InvertedResidual(8, 8, 'ir_se', 3, 1, 1, BN).eval()
    torch.nn.init.dirac_(block.dw.conv.weight, groups=8)
    torch.nn.init.dirac_(block.pwl.conv.weight)
    torch.nn.init.zeros_(block.se.expand.weight)
    torch.nn.init.ones_(block.se.expand.bias)
    gate = 1 / (1 + math.exp(-1))  # a sigmoid; timm's other gate gives 2/3
    x = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(block(x), x + gate * x / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize('kind', ['BN', 'NaiveSyncBN'])
def test_checkpointing_changes_neither_gradients_nor_statistics(kind):
    torch.manual_seed(0)
    rows = (Row('ir_se', 3, 8, 1, 2, 2),)
    norm_cfg = dict(type=kind)
    plain = build_stage(rows, 8, norm_cfg)
    saving = build_stage(rows, 8, norm_cfg, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    grads = []
    for stage in (plain, saving):
        x = torch.randn(
            2, 8, 4, 4, generator=torch.Generator().manual_seed(1)
        ).requires_grad_()
        stage(x).square().sum().backward()
        grads.append([x.grad, *(p.grad for p in stage.parameters())])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)
    statistics = plain.state_dict(), saving.state_dict()
    for name, value in statistics[0].items():
        assert torch.equal(value, statistics[1][name]), name


def test_groups_that_do_not_divide_name_the_layer():
    rows = (Row('ir', 3, 20, 1, 1, 2),)
    norm_cfg = dict(type='GN', num_groups=8)
    with pytest.raises(ValueError, match=r'20 channels .*\(in stage1\.0\)'):
        build_stage(rows, 8, norm_cfg, name='stage1')


def test_initial_weights_have_the_reference_spread():
    torch.manual_seed(0)
    stage = build_stage((Row('ir_se', 5, 256, 1, 1, 4),), 64, BN)
    block = stage[0]
    # kaiming, fan-out of an ungrouped convolution: sqrt(2 / (out * k * k))
    for conv, std in (
        (block.pw.conv, (2 / 256) ** 0.5),
        (block.dw.conv, (2 / (256 * 25)) ** 0.5),
        (block.pwl.conv, (2 / 256) ** 0.5),
        (block.se.reduce.conv, (2 / 64) ** 0.5),
    ):
        assert conv.weight.std().item() == pytest.approx(std, rel=0.05)
    assert block.se.reduce.conv.bias.abs().max() == 0
    # the second keeps torch's default: uniform, +-1 / sqrt(fan-in)
    bound = block.se.expand.weight.abs().max().item()
    assert bound == pytest.approx(64**-0.5, rel=0.01)
    assert block.se.expand.bias.abs().max() > 0
