"""The blocks that rows of an architecture stand for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import Sequential
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..archs import Rows, make_divisible, scale_channels
from .norms import check_norm_cfg, fixed_statistics


class Style(NamedTuple):
    """What sets the inverted residuals of D2Go and of timm apart."""

    act_cfg: dict
    gate: Callable[[Tensor], Tensor]  # of squeeze-excite
    dw_norm: bool  # norm and activation after the depthwise convolution
    thin_se: bool  # squeeze to 1/4 of the block's input, not of its hidden


STYLES = {  # by op
    'ir': Style(dict(type='ReLU'), torch.sigmoid, False, False),
    'mb': Style(dict(type='HSwish'), F.hardsigmoid, True, True),
}


class SqueezeExcite(nn.Module):
    """Scale channels by a gate computed from their global average.

    Args:
        channels (int): Channels of the input and output.
        hidden (int): Channels between the two 1x1 convolutions.
        style (Style): Gives the activation between them and the gate.

    Shape:
        (N, channels, H, W) in and out.
    """

    def __init__(self, channels: int, hidden: int, style: Style) -> None:
        super().__init__()
        self.reduce = ConvModule(channels, hidden, 1, act_cfg=style.act_cfg)
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.gate = style.gate

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` scaled per channel and image."""
        x_mean = F.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.expand(self.reduce(x_mean)))


class InvertedResidual(nn.Module):
    """Inverted residual block.

    Expand (1x1, norm, activation; absent where the width stays), upsample
    where the stride is negative, depthwise (timm: norm, activation),
    squeeze-excite, project (1x1, norm), and a skip where the shape stays.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        op (str): 'ir' as in D2Go, 'mb' as in timm; 'ir_se' and 'mb_se' with
            squeeze-excite.
        kernel (int): Depthwise kernel size.
        stride (int): Negative: nearest-neighbour upsampling by ``-stride``.
        expand (int): Hidden channels / input channels.
        norm_cfg (dict): Norm of the convolutions.
        with_cp (bool): Recompute the block in backward to save memory.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H', W') with
        H' = ceil(H / stride), or H * -stride.
    Source: D2Go's builder (``dw_skip_bnrelu``) at f4ac156; timm's
        ``InvertedResidual`` and ``DepthwiseSeparableConv`` at 1.0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        op: str,
        kernel: int,
        stride: int,
        expand: int,
        norm_cfg: dict,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        style = STYLES[op.removesuffix('_se')]
        hidden = make_divisible(in_channels * expand)
        self.with_cp = with_cp
        self.up = nn.Upsample(scale_factor=-stride) if stride < 0 else None
        self.residual = in_channels == out_channels and stride == 1
        self.pw = None
        if hidden != in_channels:
            self.pw = _conv(in_channels, hidden, 1, norm_cfg, style.act_cfg)
        self.dw = _conv(
            hidden,
            hidden,
            kernel,
            norm_cfg if style.dw_norm else None,
            style.act_cfg if style.dw_norm else None,
            stride=max(stride, 1),
            groups=hidden,
            bias=False,
        )
        self.se = None
        if op.endswith('_se'):
            squeezed = hidden / (4 * expand if style.thin_se else 4)
            self.se = SqueezeExcite(hidden, make_divisible(squeezed), style)
        self.pwl = _conv(hidden, out_channels, 1, norm_cfg, None)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        if self.with_cp and x.requires_grad:
            # the first pass has updated the running statistics
            contexts = nullcontext(), fixed_statistics(self)
            return checkpoint(
                self._forward,
                x,
                use_reentrant=False,
                context_fn=lambda: contexts,
            )
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        y = x if self.pw is None else self.pw(x)
        if self.up is not None:
            y = self.up(y)
        y = self.dw(y)
        if self.se is not None:
            y = self.se(y)
        y = self.pwl(y)
        return x + y if self.residual else y


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    norm_cfg: dict | None,
    act_cfg: dict | None,
    **kwargs,
) -> ConvModule:
    if norm_cfg is not None:
        check_norm_cfg(norm_cfg, out_channels)
    return ConvModule(
        in_channels,
        out_channels,
        kernel,
        padding=kernel // 2,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
        **kwargs,
    )


def build_conv(
    in_channels: int,
    out_channels: int,
    op: str,
    kernel: int,
    stride: int,
    norm_cfg: dict,
) -> ConvModule:
    """Build a plain convolution with norm and activation."""
    bias = op == 'conv'  # D2Go's, which mmcv calls unnecessary before a norm
    act_cfg = STYLES['ir' if op == 'conv' else 'mb'].act_cfg
    shape = in_channels, out_channels, kernel
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Unnecessary conv bias')
        return _conv(*shape, norm_cfg, act_cfg, stride=stride, bias=bias)


def build_stage(
    rows: Rows,
    in_channels: int,
    norm_cfg: dict,
    width: float = 1.0,
    with_cp: bool = False,
    name: str = 'stage',
) -> Sequential:
    """Build the blocks of one stage or head.

    Args:
        rows (tuple[Row]): What to build.
        in_channels (int): Channels of the stage's input.
        norm_cfg (dict): Norm of every block: BN, SyncBN, NaiveSyncBN or GN.
        width (float): Multiplier of the rows' channels.
        with_cp (bool): Recompute inverted residuals in backward.
        name (str): What errors call this stage.

    Raises:
        ValueError: ``norm_cfg`` names no such norm, or does not fit a layer.
    """
    blocks: list[nn.Module] = []
    for row in rows:
        out_channels = scale_channels(row.channels, width)
        for repeat in range(row.repeats):
            stride = row.stride if repeat == 0 else 1
            shape = in_channels, out_channels, row.op, row.kernel, stride
            try:
                blocks.append(_block(shape, row.expand, norm_cfg, with_cp))
            except ValueError as error:
                place = f'{name}.{len(blocks)}'
                raise ValueError(f'{error} (in {place})') from error
            in_channels = out_channels
    return Sequential(*blocks)


def _block(
    shape: tuple, expand: int, norm_cfg: dict, with_cp: bool
) -> nn.Module:
    if shape[2].startswith('conv'):
        return build_conv(*shape, norm_cfg)
    return InvertedResidual(*shape, expand, norm_cfg, with_cp)
