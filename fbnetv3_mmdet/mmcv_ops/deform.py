"""Deformable convolution and attention, for :mod:`.ext`.

mmcv's functions pass the tensors to be filled, and compute gradients in calls
of their own; here autograd gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **settings,
) -> None:
    """Fill ``output`` (N, C, H, W), of the first version: without a mask."""
    output.copy_(_conv(**_first(settings))(input, offset, weight))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **settings,
) -> None:
    """Fill the gradients by ``input`` and by ``offset``."""
    grads = _gradients(
        _conv(**_first(settings)), (input, offset, weight), grad_output
    )
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **settings,
) -> None:
    """Add ``scale`` times the gradient by the weights.

    The convolution is linear in them, so that any weights give it.
    """
    channels = input.size(1) // settings['group']
    weight = input.new_zeros(
        grad_output.size(1), channels, settings['kH'], settings['kW']
    )
    grads = _gradients(
        _conv(**_first(settings)), (input, offset, weight), grad_output
    )
    grad_weight.add_(grads[2], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **settings,
) -> None:
    """Fill ``output`` (N, C, H, W), of the second version: with a mask."""
    conv = _conv(**_second(settings))
    result = conv(input, offset, weight, mask, bias if with_bias else None)
    output.copy_(result)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **settings,
) -> None:
    """Fill the gradients by everything that the output depends on."""
    inputs = [input, offset, weight, mask, *([bias] if with_bias else [])]
    filled = [grad_input, grad_offset, grad_weight, grad_mask, grad_bias]
    grads = _gradients(_conv(**_second(settings)), inputs, grad_output)
    for target, grad in zip(filled, grads, strict=False):
        target.copy_(grad)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,
) -> Tensor:
    """Return deformable attention, as mmcv computes it on a CPU.

    mmcv calls this for tensors on a GPU.
    """
    return _attention(spatial_shapes)(
        value, sampling_locations, attention_weights
    )


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    *,
    im2col_step: int,
) -> None:
    """Fill the gradients of deformable attention."""
    inputs = value, sampling_locations, attention_weights
    grads = _gradients(_attention(spatial_shapes), inputs, grad_output)
    for target, grad in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True
    ):
        target.copy_(grad)


def _conv(
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Callable[..., Tensor]:
    """Return torchvision's convolution, which reads groups off the shapes."""
    from torchvision.ops import deform_conv2d

    def conv(input, offset, weight, mask=None, bias=None) -> Tensor:
        size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                input.shape[2:],
                weight.shape[2:],
                stride,
                padding,
                dilation,
                strict=True,
            )
        ]
        if mask is not None:
            offset, mask = _as_read(offset, size), _as_read(mask, size)
        return deform_conv2d(
            input, offset, weight, bias, stride, padding, dilation, mask
        )

    return conv


def _as_read(values: Tensor, size: Sequence[int]) -> Tensor:
    """Return what mmcv's kernel reads where there are more places than cells.

    It takes the numbers of an image one after the other, as if their maps had
    the size of the output. DyHead gives larger ones, and was trained so.
    """
    if list(values.shape[2:]) == list(size):
        return values
    count = values.size(1) * size[0] * size[1]
    return values.flatten(1)[:, :count].unflatten(1, (-1, *size))


def _first(settings: dict) -> dict:
    """Return stride, padding and dilation by mmcv's names of version one."""
    return dict(
        stride=(settings['dH'], settings['dW']),
        padding=(settings['padH'], settings['padW']),
        dilation=(settings['dilationH'], settings['dilationW']),
    )


def _second(settings: dict) -> dict:
    """Return stride, padding and dilation by mmcv's names of version two."""
    return dict(
        stride=(settings['stride_h'], settings['stride_w']),
        padding=(settings['pad_h'], settings['pad_w']),
        dilation=(settings['dilation_h'], settings['dilation_w']),
    )


def _attention(spatial_shapes: Tensor) -> Callable[..., Tensor]:
    from mmcv.ops.multi_scale_deform_attn import (
        multi_scale_deformable_attn_pytorch,
    )

    def attention(value, sampling_locations, attention_weights) -> Tensor:
        return multi_scale_deformable_attn_pytorch(
            value, spatial_shapes, sampling_locations, attention_weights
        )

    return attention


def _gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    grad_output: Tensor,
) -> Sequence[Tensor]:
    """Return the gradients of a function by each of its inputs."""
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in inputs]
        return torch.autograd.grad(function(*leaves), leaves, grad_output)
