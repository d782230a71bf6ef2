"""Masks: from those of boxes to those of images, and to COCO's RLE."""

from __future__ import annotations

import math

import numpy as np


def paste_masks(
    masks: np.ndarray,
    boxes: np.ndarray,
    size: tuple[int, int],
    threshold: float,
) -> np.ndarray:
    """Return objects' masks, bool (N, height, width), from those of boxes.

    Args:
        masks: float32 (N, m, m): probabilities of the cells of each box.
        boxes: float32 (N, 4): x1, y1, x2, y2 in pixels of the image.
        size: (width, height) of the image.
        threshold: Least probability of a pixel of a mask.

    Source: MMDetection's ``FCNMaskHead``; its bilinear sampling is done one
    axis after the other.
    """
    pasted = np.zeros((len(boxes), *size[::-1]), bool)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        rows, mask = _resample(mask, box[1], box[3], len(canvas))
        columns, mask = _resample(mask.T, box[0], box[2], canvas.shape[1])
        canvas[rows, columns] = mask.T >= threshold
    return pasted


def _resample(
    cells: np.ndarray, low: np.float32, high: np.float32, length: int
) -> tuple[slice, np.ndarray]:
    """Interpolate (m, k) cells, linearly in m, at the centres of pixels.

    The cells fill a box from ``low`` to ``high`` of an image of ``length``
    pixels, and are zero beyond it. Returns the pixels near the box, and
    their values.
    """
    pixels = slice(max(int(low) - 1, 0), min(math.ceil(high) + 1, length))
    centres = np.arange(pixels.start, pixels.stop, dtype=np.float32) + 0.5
    with np.errstate(all='ignore'):
        places = (centres - low) / (high - low) * 2 - 1
        places[~np.isfinite(places)] = 0  # of a box without extent
        places = ((places + 1) * len(cells) - 1) / 2
    before = np.floor(places)
    share = (places - before)[:, None]
    index = (before + [[1], [2]]).clip(0, len(cells) + 1).astype(int)
    left, right = np.pad(cells, ((1, 1), (0, 0)))[index]
    return pixels, left * (1 - share) + right * share


def encode_mask(mask: np.ndarray) -> dict:
    """Return a mask, bool (height, width), as COCO's compressed RLE."""
    flat = mask.T.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    runs = np.diff(starts, prepend=0, append=flat.size)  # outside, inside, ...
    runs[3:] -= runs[1:-2]
    text = []
    for run in runs.tolist():
        more = True
        while more:
            bits, run = run & 31, run >> 5
            more = run != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return {'size': [*mask.shape], 'counts': ''.join(text)}
