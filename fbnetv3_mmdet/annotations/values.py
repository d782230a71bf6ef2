"""What is wrong with a single value of an annotation file."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

from .findings import (
    BAD_MASK,
    NO_MASK,
    NO_POLYGON,
    ODD_POLYGON,
    OUTSIDE,
    PART_POLYGON,
    PARTLY,
)

TOLERANCE = 0.01  # px: rounding, not a box that leaves its image
LEAST_NUMBERS = 6  # of a polygon: three points


def has_ids(entry: Any, *names: str) -> bool:
    """Whether an entry is an object that has these, and as ids can be."""
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name, []), Hashable) for name in names
    )


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
) -> str | None:
    """Return the kind of defect of a box, None where it is right.

    Args:
        box: Should be x, y, width, height in pixels.
        width: Of the image in pixels, None where that is not known.
        height: Of the image.
    """
    values = [number(value) for value in box] if _is_row(box, 4) else [None]
    if None in values:
        return 'box that is not four numbers'
    if any(map(math.isnan, values)):
        return 'box with NaN'
    if any(map(math.isinf, values)):
        return 'infinite box'
    left, top, *sides = values
    right, bottom = left + sides[0], top + sides[1]
    if min(sides) <= 0:
        return 'box of zero or negative size'
    if width is not None and (
        min(right, width) <= max(left, 0) or min(bottom, height) <= max(top, 0)
    ):
        return OUTSIDE
    if min(sides) < 1:
        return 'box under one pixel'
    if width is not None and (
        min(left, top) < -TOLERANCE
        or max(right - width, bottom - height) > TOLERANCE
    ):
        return PARTLY
    return None


def mask_fault(segmentation: Any, polygons: bool) -> str | None:
    """Return the kind of defect of a segmentation, None where it is right.

    Args:
        segmentation: Should be polygons or a run-length encoding.
        polygons: Whether training reads polygons only.
    """
    if not segmentation:
        return NO_MASK
    if isinstance(segmentation, dict):
        is_rle = isinstance(
            segmentation.get('counts'), (list, str)
        ) and _is_row(segmentation.get('size'), 2)
        return None if is_rle and not polygons else BAD_MASK
    if not isinstance(segmentation, list):
        return BAD_MASK
    faults = [*map(_polygon_fault, segmentation)]
    if BAD_MASK in faults:
        return BAD_MASK
    if None in faults and any(faults):
        return PART_POLYGON
    return faults[0]


def _polygon_fault(polygon: Any) -> str | None:
    if not isinstance(polygon, list) or not all(
        number(value) is not None and math.isfinite(value) for value in polygon
    ):
        return BAD_MASK
    if len(polygon) < LEAST_NUMBERS:
        return NO_POLYGON
    return ODD_POLYGON if len(polygon) % 2 else None


def _is_row(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length
