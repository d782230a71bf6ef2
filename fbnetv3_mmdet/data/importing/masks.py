"""Segmentations: mended, and what boxes and areas they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..annotations.values import LEAST_NUMBERS, mask_fault
from .notes import Notes

DECIMALS = 3  # of what is derived, in pixels


def mend_mask(mask: Any, width: float, height: float, notes: Notes) -> Any:
    """Return a segmentation that training reads, [] for none."""
    if isinstance(mask, list):
        if mask and not isinstance(mask[0], (list, dict)):
            mask = [mask]
            notes.add('polygon that was no list of polygons mended')
        polygons = []
        for polygon in mask:
            if not isinstance(polygon, list):
                polygons = mask
                break
            if len(polygon) < LEAST_NUMBERS:
                notes.add('scrap of a polygon left out')
                continue
            notes.add(
                'odd number of a polygon left out', count=len(polygon) % 2
            )
            polygons.append(polygon[: len(polygon) // 2 * 2])
        mask = polygons
    if not mask:
        return []
    if fault := mask_fault(mask, width, height):
        notes.add('mask left out, its box kept', fault)
        return []
    return mask


def box_of(mask: Any) -> list[float] | None:
    """Return the box of a sound segmentation, None where there is none."""
    if isinstance(mask, dict):
        return coco_mask.toBbox(_packed(mask)).tolist()
    if not mask:
        return None
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in mask])
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def area_of(mask: Any) -> float:
    """Return the area of a sound segmentation in pixels, 0 for none."""
    if isinstance(mask, dict):
        return float(coco_mask.area(_packed(mask)))
    total = 0.0
    for polygon in mask:
        x, y = np.reshape(polygon, (-1, 2)).T
        total += abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    return round(float(total), DECIMALS)


def merge(masks: Sequence[Any]) -> Any:
    """Return one segmentation of several sound ones of a picture.

    It is polygons where all are, else run lengths.
    """
    runs = [mask for mask in masks if isinstance(mask, dict)]
    if not runs:
        return [polygon for mask in masks for polygon in mask]
    height, width = runs[0]['size']
    for mask in masks:
        if not isinstance(mask, dict):
            runs += coco_mask.frPyObjects(mask, height, width)
    return _as_text(coco_mask.merge(runs))


def mask_at(
    pixels: np.ndarray, left: int, top: int, width: int, height: int
) -> dict[str, Any] | None:
    """Return the run lengths of what is true in a part of a picture.

    Args:
        pixels: (rows, columns), of bool.
        left: Column of the picture where they start.
        top: Row where they do.
        width: Of the picture.
        height: Of the picture.

    Returns:
        None where nothing is true in the picture.
    """
    whole = np.zeros((height, width), np.uint8, order='F')
    pixels = pixels[max(-top, 0) :, max(-left, 0) :]
    place = whole[max(top, 0) :, max(left, 0) :]
    rows, columns = np.minimum(place.shape, pixels.shape)
    place[:rows, :columns] = pixels[:rows, :columns]
    return _as_text(coco_mask.encode(whole)) if whole.any() else None


def _as_text(mask: dict[str, Any]) -> dict[str, Any]:
    return {**mask, 'counts': mask['counts'].decode()}


def _packed(mask: dict[str, Any]) -> dict[str, Any]:
    if isinstance(mask['counts'], list):
        return coco_mask.frPyObjects(mask, *mask['size'])
    return mask
