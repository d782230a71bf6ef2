"""What is wrong with a single value of an annotation file."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable
from typing import Any

import numpy as np

from .defects import Defect

TOLERANCE = 0.01  # px: rounding, not a box that leaves its image
LEAST_NUMBERS = 6  # of a polygon: three points
# Outline of a polygon over width + height of its image: pycocotools takes
# memory for each pixel of it, without end where it is infinite.
LONGEST = 100
NUMBERS = {int, float}
LARGEST_SHIFT = 60  # bits of a run's length in a run-length mask


def has_ids(entry: Any, *names: str) -> bool:
    """Whether an entry is an object that has these, and as ids can be."""
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name, []), Hashable) for name in names
    )


def is_other_type(key: Hashable, keys: Collection[Hashable]) -> bool:
    """Whether an id that is unknown is known as text, or as a number."""
    if isinstance(key, str):
        text = key.strip().removeprefix('-')
        return text.isdecimal() and len(text) < 19 and int(key) in keys
    return str(key) in keys


def number(value: Any) -> float | None:
    """Return a number, None where the value is something else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def box_fault(
    box: Any, width: float | None, height: float | None
) -> Defect | None:
    """Return the defect of a box, None where it is right.

    Args:
        box: Should be x, y, width, height in pixels.
        width: Of the image in pixels, None where that is not known.
        height: Of the image.
    """
    values = [number(value) for value in box] if _is_row(box, 4) else [None]
    if None in values:
        return Defect.BAD_BOX
    if any(map(math.isnan, values)):
        return Defect.NAN_BOX
    if any(map(math.isinf, values)):
        return Defect.INFINITE_BOX
    left, top, *sides = values
    right, bottom = left + sides[0], top + sides[1]
    if min(sides) <= 0:
        return Defect.EMPTY_BOX
    if width is not None and (
        min(right, width) <= max(left, 0) or min(bottom, height) <= max(top, 0)
    ):
        return Defect.OUTSIDE
    if min(sides) < 1:
        return Defect.SMALL_BOX
    if width is not None and (
        min(left, top) < -TOLERANCE
        or max(right - width, bottom - height) > TOLERANCE
    ):
        return Defect.PARTLY
    return None


def mask_fault(
    segmentation: Any,
    width: float | None,
    height: float | None,
    polygons: bool = False,
) -> Defect | None:
    """Return the defect of a segmentation, None where it is right.

    Args:
        segmentation: Should be polygons or a run-length encoding.
        width: Of the image in pixels, None where that is not known.
        height: Of the image.
        polygons: Whether training reads polygons only.
    """
    if not segmentation:
        return Defect.NO_MASK
    if isinstance(segmentation, dict):
        fault = _rle_fault(segmentation, width, height)
        return fault or (Defect.RLE_MASK if polygons else None)
    if not isinstance(segmentation, list):
        return Defect.BAD_MASK
    longest = math.inf if width is None else LONGEST * (width + height)
    is_flat = {*map(type, segmentation)} <= NUMBERS
    polygons = [segmentation] if is_flat else segmentation
    faults = {_polygon_fault(polygon, longest) for polygon in polygons}
    for kind in (Defect.BAD_MASK, Defect.WILD_MASK):
        if kind in faults:
            return kind
    if is_flat:
        too_few = Defect.NO_POLYGON in faults
        return Defect.BAD_MASK if too_few else Defect.FLAT_POLYGON
    if None in faults and len(faults) > 1:
        return Defect.PART_POLYGON
    return Defect.ODD_POLYGON if Defect.ODD_POLYGON in faults else faults.pop()


def sound_mask(segmentation: Any, fault: Defect | None) -> Any:
    """Return what is usable of a segmentation, None where nothing is.

    Args:
        segmentation: Polygons or a run-length encoding.
        fault: What :func:`mask_fault` says of it.
    """
    if fault in (None, Defect.RLE_MASK):
        return segmentation
    if fault is Defect.FLAT_POLYGON:
        segmentation = [segmentation]
    elif fault not in (Defect.PART_POLYGON, Defect.ODD_POLYGON):
        return None
    return [
        polygon[: len(polygon) // 2 * 2]
        for polygon in segmentation
        if len(polygon) >= LEAST_NUMBERS
    ]


def _polygon_fault(polygon: Any, longest: float) -> Defect | None:
    if not isinstance(polygon, list) or not {*map(type, polygon)} <= NUMBERS:
        return Defect.BAD_MASK
    span = _span(polygon)
    # no outline is longer than the first; most are found good by it
    if not len(polygon) / 2 * span <= longest and (
        not span <= longest or not _outline(polygon) <= longest
    ):
        return Defect.WILD_MASK
    if len(polygon) < LEAST_NUMBERS:
        return Defect.NO_POLYGON
    return Defect.ODD_POLYGON if len(polygon) % 2 else None


def _span(values: list[float]) -> float:
    """Return how far values reach to either side of 0, infinite if NaN."""
    try:
        is_finite = math.isfinite(sum(values))
    except OverflowError:  # an integer larger than any float
        is_finite = False
    reach = [0, *values]
    return max(reach) - min(reach) if is_finite else math.inf


def _outline(polygon: list[float]) -> float:
    """Return the length of a polygon's sides as pixels are counted."""
    points = np.array(polygon[: len(polygon) // 2 * 2], float).reshape(-1, 2)
    return np.abs(points - np.roll(points, 1, 0)).max(1).sum()


def _rle_fault(
    mask: dict[str, Any], width: float | None, height: float | None
) -> Defect | None:
    size, runs = mask.get('size'), mask.get('counts')
    if isinstance(runs, str):
        runs = _unpack(runs)
    if (
        not _is_row(size, 2)
        or not isinstance(runs, list)
        or not all(type(run) is int and run >= 0 for run in runs)
    ):
        return Defect.BAD_MASK
    fits = width is None or (
        size == [height, width] and sum(runs) == height * width
    )
    return None if fits else Defect.WILD_MASK


def _unpack(counts: str) -> list[int] | None:
    """Return the runs of a packed run-length mask, None where it is none.

    A character has 5 bits of a number, the lowest first, and whether more
    follow; the fourth and later numbers are differences to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for char in counts:
        code = ord(char) - ord('0')
        if not 0 <= code < 64 or shift > LARGEST_SHIFT:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def _is_row(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length
