"""Masks: those of boxes, of whole images, and COCO's RLE."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Mask(NamedTuple):
    """The mask of an object, in the part of the image about its box.

    Attributes:
        pixels: bool (height, width) of that part; beyond it is no object.
        corner: (x, y) of the part's upper left pixel in the image.
        size: (width, height) of the image.
    """

    pixels: np.ndarray
    corner: tuple[int, int]
    size: tuple[int, int]

    def full(self) -> np.ndarray:
        """Return the mask of the whole image, bool (height, width)."""
        frame = np.zeros(self.size[::-1], bool)
        x, y = self.corner
        height, width = self.pixels.shape
        frame[y : y + height, x : x + width] = self.pixels
        return frame

    def rle(self) -> dict:
        """Return the mask of the whole image as COCO's compressed RLE."""
        x, y = self.corner
        width, height = self.size
        columns = np.pad(self.pixels.T, ((0, 0), (1, 1)))
        column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
        turns = (x + column) * height + y + row  # column after column
        # of a run that reaches from a column's end into the next
        twice = turns[1:] == turns[:-1]
        once = ~(np.append(twice, False) | np.append(False, twice))
        turns = turns[once[: len(turns)] & (turns < width * height)]
        runs = np.diff(turns, prepend=0, append=width * height)
        return {'size': [height, width], 'counts': _compress(runs)}


def box_masks(
    cells: np.ndarray,
    boxes: np.ndarray,
    size: tuple[int, int],
    threshold: float,
) -> list[Mask]:
    """Return objects' masks from the probabilities of cells of their boxes.

    Args:
        cells: float32 (N, m, m): probabilities of the cells of each box.
        boxes: float32 (N, 4): x1, y1, x2, y2 in pixels of the image.
        size: (width, height) of the image.
        threshold: Least probability of a pixel of a mask.

    Source: MMDetection's ``FCNMaskHead``; its bilinear sampling is done one
    axis after the other.
    """
    masks = []
    for own, box in zip(cells, boxes, strict=True):
        top, own = _resample(own, box[1], box[3], size[1])
        left, own = _resample(own.T, box[0], box[2], size[0])
        masks.append(Mask(own.T >= threshold, (left, top), size))
    return masks


def encode_mask(mask: np.ndarray) -> dict:
    """Return a mask, bool (height, width), as COCO's compressed RLE."""
    return Mask(mask, (0, 0), mask.shape[::-1]).rle()


def _resample(
    cells: np.ndarray, low: np.float32, high: np.float32, length: int
) -> tuple[int, np.ndarray]:
    """Interpolate (m, k) cells, linearly in m, at the centres of pixels.

    The cells fill a box from ``low`` to ``high`` of an image of ``length``
    pixels, and are zero beyond it. Returns the first pixel near the
    box, and the values from there on.
    """
    first, end = max(int(low) - 1, 0), min(math.ceil(high) + 1, length)
    centres = np.arange(first, end, dtype=np.float32) + 0.5
    with np.errstate(all='ignore'):
        places = (centres - low) / (high - low) * 2 - 1
        places[~np.isfinite(places)] = 0  # of a box without extent
        places = ((places + 1) * len(cells) - 1) / 2
    before = np.floor(places)
    share = (places - before)[:, None]
    index = (before + [[1], [2]]).clip(0, len(cells) + 1).astype(int)
    left, right = np.pad(cells, ((1, 1), (0, 0)))[index]
    return first, left * (1 - share) + right * share


def _compress(runs: np.ndarray) -> str:
    """Return lengths of runs, outside and inside in turns, as COCO does."""
    runs[3:] -= runs[1:-2].copy()
    text = []
    for run in runs.tolist():
        more = True
        while more:
            bits, run = run & 31, run >> 5
            more = run != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return ''.join(text)
