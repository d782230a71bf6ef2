"""RoIAlign in numpy, as torchvision's with ``aligned=True``.

Interpolation and means are linear in each axis by itself: a region's pooled
features are rows times features times columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pool(
    feats: Sequence[np.ndarray], boxes: np.ndarray, settings: dict
) -> np.ndarray:
    """Return (R, channels, P, P) of regions, each from the level it suits.

    Args:
        feats: (channels, H, W) of each level, finest first.
        boxes: (R, 4), x1, y1, x2, y2 in pixels of the network's input.
        settings: ``size`` P, ``strides`` of the levels in pixels, ``samples``
            a cell and axis (0: one for each place that it covers) and
            ``finest_scale``, twice which is too large for the first level.
    """
    size = settings['size']
    pooled = np.zeros((len(boxes), feats[0].shape[0], size, size), np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = np.sqrt(sides.prod(1))
    level = np.floor(np.log2(scale / settings['finest_scale'] + 1e-6))
    level = level.clip(0, len(feats) - 1)
    for i, (feat, stride) in enumerate(
        zip(feats, settings['strides'], strict=True)
    ):
        of_level = np.flatnonzero(level == i)
        ends = boxes[of_level] / np.float32(stride) - np.float32(0.5)
        for index, (left, top, right, bottom) in zip(
            of_level, ends, strict=True
        ):
            samples = settings['samples']
            rows = _weights(top, bottom, feat.shape[1], size, samples)
            columns = _weights(left, right, feat.shape[2], size, samples)
            pooled[index] = rows @ feat @ columns.T
    return pooled


def _weights(
    low: np.float32, high: np.float32, length: int, size: int, samples: int
) -> np.ndarray:
    """Return (size, length): what each place is worth for each cell."""
    step = (high - low) / np.float32(size)
    count = samples or max(int(np.ceil(step)), 1)
    offsets = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / count
    places = low + (np.arange(size)[:, None] + offsets) * step
    inside = (places >= -1) & (places <= length)
    places = places.clip(0, length - 1)
    before = np.floor(places).astype(int).clip(max=length - 1)
    share = places - before
    after = (before + 1).clip(max=length - 1)
    weights = np.zeros((size, length), np.float32)
    cells = np.broadcast_to(np.arange(size)[:, None], places.shape)
    np.add.at(weights, (cells, before), inside * (1 - share) / count)
    np.add.at(weights, (cells, after), inside * share / count)
    return weights
