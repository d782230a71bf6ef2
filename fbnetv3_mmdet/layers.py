"""The blocks that rows of an architecture stand for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import Sequential
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .archs import Arch, Row, Rows, get_arch
from .norms import check_norm_cfg


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count half up to a multiple of ``divisor``.

    Never below ``divisor``, nor more than 5 % below ``value``.
    Source: mobile_cv's and timm's rule for FBNetV3; mmdet allows 10 %.
    """
    channels = int(value)
    if channels % divisor:
        channels = max(math.floor(value / divisor + 0.5), 1) * divisor
        if channels < 0.95 * value:
            channels += divisor
    return max(channels, divisor)


def scale_channels(channels: int, width: float) -> int:
    """Return a row's output channels under a width multiplier.

    A width of 1 leaves the table's figure as it is (D2Go's SCALE_FACTOR).
    """
    return channels if width == 1 else make_divisible(int(channels * width))


def trunk_channels(arch: str | Mapping | Arch, width: float) -> int:
    """Return the channels of an architecture's last stage."""
    return scale_channels(get_arch(arch).trunk[-1][-1].channels, width)


class SqueezeExcite(nn.Module):
    """Scale channels by a gate computed from their global average.

    Args:
        channels (int): Channels of the input and output.
        hidden (int): Channels between the two 1x1 convolutions.

    Shape:
        (N, channels, H, W) in and out.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = ConvModule(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` scaled per channel and image."""
        gate = self.expand(self.reduce(F.adaptive_avg_pool2d(x, 1)))
        return x * gate.sigmoid()


class InvertedResidual(nn.Module):
    """Inverted residual block without norm or activation after its depthwise.

    Expand (1x1, norm, ReLU; absent where the width stays), upsample where the
    stride is negative, depthwise, squeeze-excite, project (1x1, norm), and a
    skip where the shape stays.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        op (str): 'ir', or 'ir_se' with squeeze-excite.
        kernel (int): Depthwise kernel size.
        stride (int): Negative: nearest-neighbour upsampling by ``-stride``.
        expand (int): Hidden channels / input channels.
        norm_cfg (dict): Norm after both 1x1 convolutions.
        with_cp (bool): Recompute the block in backward to save memory.
        name (str): What errors call this block.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H', W') with
        H' = ceil(H / stride), or H * -stride.
    Source: SPEC of D2Go's builder (``dw_skip_bnrelu``) at f4ac156.
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
        name: str = 'block',
    ) -> None:
        super().__init__()
        hidden = make_divisible(in_channels * expand)
        self.with_cp = with_cp
        self.upscale = float(max(-stride, 1))
        self.residual = in_channels == out_channels and stride == 1
        self.pw = None
        if hidden != in_channels:
            check_norm_cfg(norm_cfg, hidden, f'{name}.pw')
            self.pw = ConvModule(in_channels, hidden, 1, norm_cfg=norm_cfg)
        self.dw = ConvModule(
            hidden,
            hidden,
            kernel,
            stride=max(stride, 1),
            padding=kernel // 2,
            groups=hidden,
            bias=False,
            act_cfg=None,
        )
        self.se = None
        if op == 'ir_se':
            self.se = SqueezeExcite(hidden, make_divisible(int(hidden * 0.25)))
        check_norm_cfg(norm_cfg, out_channels, f'{name}.pwl')
        self.pwl = ConvModule(
            hidden, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        y = x if self.pw is None else self.pw(x)
        if self.upscale > 1:
            y = F.interpolate(y, scale_factor=self.upscale, mode='nearest')
        y = self.dw(y)
        if self.se is not None:
            y = self.se(y)
        y = self.pwl(y)
        return x + y if self.residual else y


def build_stem(
    in_channels: int, out_channels: int, row: Row, norm_cfg: dict, name: str
) -> ConvModule:
    """Build a plain convolution with bias, norm and ReLU."""
    check_norm_cfg(norm_cfg, out_channels, name)
    with warnings.catch_warnings():
        # D2Go's stem has the bias that mmcv calls unnecessary before a norm.
        warnings.filterwarnings('ignore', 'Unnecessary conv bias')
        return ConvModule(
            in_channels,
            out_channels,
            row.kernel,
            stride=row.stride,
            padding=row.kernel // 2,
            bias=True,
            norm_cfg=norm_cfg,
        )


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
            block = f'{name}.{len(blocks)}'
            stride = row.stride if repeat == 0 else 1
            if row.op == 'conv':
                row_ = row._replace(stride=stride)
                blocks.append(
                    build_stem(
                        in_channels, out_channels, row_, norm_cfg, block
                    )
                )
            else:
                blocks.append(
                    InvertedResidual(
                        in_channels,
                        out_channels,
                        row.op,
                        row.kernel,
                        stride,
                        row.expand,
                        norm_cfg,
                        with_cp,
                        block,
                    )
                )
            in_channels = out_channels
    return Sequential(*blocks)
