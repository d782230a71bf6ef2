"""Deformable convolution and attention against plain ones and differences."""

import importlib

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from fbnetv3_mmdet.mmcv_ops import ext  # its package makes mmcv.ops importable

from mmcv import ops  # isort: skip

KERNEL = 3
SHAPE = dict(stride=2, padding=1, dilation=2)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    # also where a compiled extension is installed
    for name in ('deform_conv', 'modulated_deform_conv'):
        module = importlib.import_module(f'mmcv.ops.{name}')
        monkeypatch.setattr(module, 'ext_module', ext)


def draw(*shape):
    return torch.rand(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def tensors():
    """Input, offsets of 2 groups, weights of 2 groups, mask and bias."""
    torch.manual_seed(0)
    return (
        draw(2, 4, 9, 8),
        draw(2, 2 * 2 * 9, 4, 3),
        draw(6, 2, KERNEL, KERNEL),
        draw(2, 2 * 9, 4, 3),
        draw(6),
    )


def first(x, offset, weight):
    return ops.deform_conv2d(x, offset, weight, 2, 1, 2, 2, 2)


def second(x, offset, weight, mask, bias):
    return ops.modulated_deform_conv2d(
        x, offset, mask, weight, bias, 2, 1, 2, 2, 2
    )


def test_without_offsets_it_is_a_convolution(tensors):
    x, offset, weight, mask, bias = tensors
    still = torch.zeros_like(offset)
    plain = F.conv2d(x, weight, None, groups=2, **SHAPE)
    torch.testing.assert_close(first(x, still, weight), plain)
    found = second(x, still, weight, torch.full_like(mask, 0.5), bias)
    torch.testing.assert_close(found, 0.5 * plain + bias[:, None, None])


def test_an_offset_of_a_cell_moves_the_picture(tensors):
    x, offset, weight, *_ = tensors
    # down by one for all: rows 1 to 8 of the picture, and none below
    down = torch.zeros_like(offset)
    down[:, 0::2] = 1
    moved = F.pad(x[:, :, 1:], (0, 0, 0, 1))
    plain = F.conv2d(moved, weight, None, groups=2, **SHAPE)
    # the first row of taps lay in the padding, and has come into the picture
    torch.testing.assert_close(
        first(x, down, weight)[:, :, 1:], plain[:, :, 1:]
    )


def test_gradients_are_differences(tensors):
    # offsets that lead between the cells, where it is smooth
    x, offset, weight, mask, bias = tensors
    offset = (0.2 + 0.6 * offset.detach()).requires_grad_()
    assert gradcheck(first, (x, offset, weight), fast_mode=True)
    assert gradcheck(second, (x, offset, weight, mask, bias), fast_mode=True)


def test_larger_offsets_are_read_as_mmcv_reads_them(tensors):
    x, offset, weight, mask, bias = tensors
    small = second(x, offset, weight, mask, bias)
    # of each image, the numbers one after the other, and some more behind
    wider = [
        torch.cat([v.flatten(1), torch.full((2, v.size(1) * 8), 9.0)], 1)
        for v in (offset, mask)
    ]
    wider = [v.unflatten(1, (-1, 4, 5)) for v in wider]
    assert [v.size(1) for v in wider] == [36, 18]
    found = second(x, wider[0], weight, wider[1], bias)
    torch.testing.assert_close(found, small)


def test_attention_on_a_gpu_is_that_on_a_cpu():
    torch.manual_seed(0)
    shapes = torch.tensor([[4, 5], [2, 3]])
    starts = torch.tensor([0, 20])
    value, places, weights = (
        draw(2, 26, 2, 3),
        draw(2, 7, 2, 2, 4, 2),
        draw(2, 7, 2, 2, 4),
    )
    module = importlib.import_module('mmcv.ops.multi_scale_deform_attn')
    attend = module.multi_scale_deformable_attn_pytorch
    expected = attend(value, shapes, places, weights)
    found = ext.ms_deform_attn_forward(
        value, shapes, starts, places, weights, im2col_step=64
    )
    assert torch.equal(found, expected)
    inputs = value, places, weights
    grads = torch.autograd.grad(expected.square().sum(), inputs)
    filled = [torch.zeros_like(value) for value in inputs]
    ext.ms_deform_attn_backward(
        value, shapes, starts, places, weights, 2 * expected, *filled,
        im2col_step=64,
    )  # fmt: skip
    for one, other in zip(filled, grads, strict=True):
        torch.testing.assert_close(one, other)
