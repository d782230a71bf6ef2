"""The form of a whole file's boxes: sides or corners, pixels or fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..annotations.values import number
from .notes import Notes

SLACK = 0.01  # of the picture's side, by which tools' boxes leave it
MANY = 0.25  # of right boxes, none or few leave their picture


def four_numbers(box: Any) -> list[float] | None:
    """Return a box's numbers, None where they are not four finite ones."""
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        return None
    values = [number(value) for value in box]
    is_box = None not in values and all(map(math.isfinite, values))
    return values if is_box else None


def convert_boxes(
    items: Sequence[tuple[dict[str, Any], float, float]],
    form: str | None,
    origin: str,
    notes: Notes,
) -> None:
    """Make all boxes of a file x, y, width and height in pixels, in place.

    Args:
        items: Annotations, each with width and height of its picture.
        form: ``'xyxy'``: they are corners; ``'xywh'``: they are not; None:
            it is an error where they look like corners.
        origin: The file.
        notes: Gets what was converted.

    Raises:
        ValueError: They look like corners and ``form`` is None, or are none
            and ``form`` says so.
    """
    items = [item for item in items if four_numbers(item[0].get('bbox'))]
    if not items:
        return
    boxes = np.array([item[0]['bbox'] for item in items], float)
    sizes = np.array([item[1:] for item in items], float)
    if _are_fractions(boxes) and sizes.min() > 2:
        boxes *= np.tile(sizes, 2)
        notes.add('box of fractions made pixels', origin, count=len(boxes))
        for item, width, height in items:
            item['segmentation'] = _scale(item, width, height)
            item['area'] = None  # was a fraction too
    low, high, limit = boxes[:, :2], boxes[:, 2:], sizes * (1 + SLACK)
    as_corners = ((low < high) & (high <= limit)).all(1).mean()
    leaves = (low + high > limit).any(1).mean()
    _check_form(form, leaves, as_corners, origin)
    if form == 'xyxy':
        boxes[:, 2:] -= low
        notes.add('box of corners converted', origin, count=len(boxes))
    for (item, *_), box in zip(items, boxes.tolist(), strict=True):
        item['bbox'] = box


def _check_form(
    form: str | None, leaves: float, as_corners: float, origin: str
) -> None:
    """Ask where boxes look like corners; refuse what does not fit.

    Args:
        form: What the user says that they are.
        leaves: Share of those that leave their picture as sides.
        as_corners: Share of those that are corners in their picture.
        origin: The file.
    """
    if form is None and leaves > MANY and as_corners > 1 - SLACK:
        raise ValueError(
            f'in {origin!r}, {round(100 * leaves)} % of the boxes leave their '
            'picture as x, y, width, height, and all fit as two corners; '
            'say what they are: --boxes xyxy or --boxes xywh'
        )
    if form == 'xyxy' and as_corners < 1 - MANY:
        raise ValueError(
            f'--boxes xyxy does not fit {origin!r}, where '
            f'{round(100 * as_corners)} % of the boxes are two corners '
            'in the picture; leave --boxes out'
        )


def _are_fractions(values: np.ndarray) -> bool:
    return bool((values >= -SLACK).all() and (values <= 1 + SLACK).all())


def _scale(item: dict[str, Any], width: float, height: float) -> Any:
    """Return polygons in pixels where they are of fractions, too."""
    polygons = item.get('segmentation')
    try:
        flat = np.concatenate([np.array(p, float) for p in polygons])
    except (OverflowError, TypeError, ValueError):  # run lengths, or broken
        return polygons
    if not _are_fractions(flat):
        return polygons
    return [
        [v * (height if i % 2 else width) for i, v in enumerate(polygon)]
        for polygon in polygons
    ]
