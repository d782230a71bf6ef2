"""Parameters and multiply-adds of any architecture, in closed form.

Nothing is built: a search can cost thousands of candidates a second. MACs are
the multiply-adds of convolutions and linear layers; norms, activations,
pooling and RoIAlign are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .archs import (
    Arch,
    Row,
    Rows,
    get_arch,
    make_divisible,
    scale_channels,
    trunk_features,
)

REGIONS = 30  # what D2Go's C4 detectors propose for an image
CELLS = dict(bbox=6, mask=14, kpts=6)  # resolution of the poolers
ANCHORS = 15  # of a cell, in the C4 detectors


class Cost(NamedTuple):
    """What a part takes.

    Attributes:
        params: Trainable numbers, those of the norms included.
        macs: Multiply-adds for one image.
    """

    params: int
    macs: int

    def times(self, count: int) -> Cost:
        """Return the cost of a part that runs ``count`` times an image."""
        return Cost(self.params, self.macs * count)


class _Map(NamedTuple):
    """Shape of a feature map: what a block takes and gives."""

    channels: int
    height: int
    width: int

    @property
    def cells(self) -> int:
        return self.height * self.width


def costs(
    arch: str | Mapping[str, Any] | Arch,
    size: Sequence[int] = (224, 320),
    regions: int = REGIONS,
    cells: Mapping[str, int] | None = None,
    width: float = 1.0,
    levels: Sequence[int] | None = None,
    in_channels: int | None = None,
) -> dict[str, Cost]:
    """Return what each part of a detector takes.

    Args:
        arch: As :func:`fbnetv3_mmdet.archs.get_arch` takes it.
        size: Height and width of the image in pixels.
        regions: Regions an image, of the heads for boxes, masks and
            keypoints.
        cells: Resolution of the poolers of 'bbox', 'mask' and 'kpts' that
            differ from D2Go's, which are 6, 14 and 6.
        width: Multiplier of all channels.
        levels: Strides of the features that the RPN reads; None: the
            trunk's last. With a feature pyramid, those of its levels.
        in_channels: Channels of these features; None: those of the trunk.

    Returns:
        dict: By part, of those that the architecture has: ``trunk``, and the
        blocks of ``rpn``, ``bbox``, ``mask`` and ``kpts``. Predictors, which
        depend on anchors and classes, are in :func:`predictor_costs`, and a
        pyramid is not counted.

    Raises:
        ValueError: ``arch`` is wrong, or ``size`` is not positive.
    """
    if min(size) < 1:
        raise ValueError(
            f'size={tuple(size)} of the image must be a height and a width '
            'of at least 1 pixel each; leave it out for 224 320'
        )
    arch = get_arch(arch)
    stride, channels = trunk_features(arch, width)[-1]
    channels = in_channels or channels
    trunk = tuple(row for stage in arch.trunk for row in stage)
    found = {'trunk': _cost(trunk, _Map(3, *size), width)}
    maps = [
        _Map(channels, *(-(-side // s) for side in size))
        for s in levels or (stride,)
    ]
    if arch.rpn:
        parts = [_cost(arch.rpn, shape, width) for shape in maps]
        found['rpn'] = Cost(parts[0].params, sum(part.macs for part in parts))
    for part, side in {**CELLS, **(cells or {})}.items():
        if rows := getattr(arch, part):
            shape = _Map(channels, side, side)
            found[part] = _cost(rows, shape, width).times(regions)
    return found


def predictor_costs(
    arch: str | Mapping[str, Any] | Arch,
    size: Sequence[int] = (224, 320),
    regions: int = REGIONS,
    num_classes: int = 80,
    num_anchors: int = ANCHORS,
    width: float = 1.0,
) -> dict[str, Cost]:
    """Return what the last layers of a C4 detector's heads take.

    Args:
        arch: As :func:`fbnetv3_mmdet.archs.get_arch` takes it.
        size: Height and width of the image in pixels.
        regions: Regions an image.
        num_classes: Classes of the objects.
        num_anchors: Anchors of a cell.
        width: Multiplier of all channels.

    Returns:
        dict: ``rpn`` (logits and boxes), ``bbox`` (classes and boxes) and
        ``mask``, of those that the architecture has; masks of twice the
        pooler's 14 cells a side.
    """
    arch = get_arch(arch)
    stride, _ = trunk_features(arch, width)[-1]
    places = -(-size[0] // stride) * -(-size[1] // stride)
    outputs = {  # of each place, and the number of places
        'rpn': (5 * num_anchors, places),
        'bbox': (5 * num_classes + 1, regions),
        'mask': (num_classes, regions * (2 * CELLS['mask']) ** 2),
    }
    found = {}
    for part, (number, count) in outputs.items():
        if rows := getattr(arch, part):
            channels = scale_channels(rows[-1].channels, width)
            found[part] = Cost((channels + 1) * number, channels * number)
            found[part] = found[part].times(count)
    return found


def total(parts: Iterable[Cost]) -> Cost:
    """Return the sum of costs."""
    return Cost(*map(sum, zip(*parts, strict=True)))


def _cost(rows: Rows, shape: _Map, width: float) -> Cost:
    """Return what the blocks of rows take for one input."""
    params = macs = 0
    for row in rows:
        out_channels = scale_channels(row.channels, width)
        for repeat in range(row.repeats):
            stride = row.stride if repeat == 0 else 1
            conv = row.op.startswith('conv')
            block = _conv if conv else _inverted_residual
            cost, shape = block(row, shape, out_channels, stride)
            params += cost.params
            macs += cost.macs
    return Cost(params, macs)


def _conv(
    row: Row, shape: _Map, out_channels: int, stride: int
) -> tuple[Cost, _Map]:
    after = _strided(shape, out_channels, stride)
    weights = row.kernel**2 * shape.channels * out_channels
    bias = out_channels if row.op == 'conv' else 0  # as D2Go has it
    cost = Cost(weights + bias + 2 * out_channels, weights * after.cells)
    return cost, after


def _inverted_residual(
    row: Row, shape: _Map, out_channels: int, stride: int
) -> tuple[Cost, _Map]:
    timm = row.op.startswith('mb')
    hidden = make_divisible(shape.channels * row.expand)
    params = macs = 0
    if hidden != shape.channels:
        weights = shape.channels * hidden
        params += weights + 2 * hidden
        macs += weights * shape.cells
    after = _strided(shape, out_channels, stride)
    weights = row.kernel**2 * hidden
    params += weights + (2 * hidden if timm else 0)
    macs += weights * after.cells
    if row.op.endswith('_se'):
        squeezed = make_divisible(hidden / (4 * row.expand if timm else 4))
        params += 2 * hidden * squeezed + hidden + squeezed
        macs += 2 * hidden * squeezed
    weights = hidden * out_channels
    params += weights + 2 * out_channels
    macs += weights * after.cells
    return Cost(params, macs), after


def _strided(shape: _Map, channels: int, stride: int) -> _Map:
    """Return the map after a stride, which upsamples where it is negative."""
    if stride < 0:
        return _Map(channels, shape.height * -stride, shape.width * -stride)
    sides = (-(-side // stride) for side in (shape.height, shape.width))
    return _Map(channels, *sides)
