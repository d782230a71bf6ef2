"""LabelMe's and ISAT's formats: a JSON file a picture."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from ..annotations.values import LEAST_NUMBERS
from ..pictures import MAX_PIXELS, BrokenPicture, opened_picture
from .masks import box_of, mask_at, merge
from .notes import Notes
from .parts import (
    Part,
    add_image,
    add_object,
    is_list_of_dicts,
    name_by_use,
    part_of,
    read_json,
)
from .shapes import NO_AREA, ellipse, pairs, polygon_of
from .tree import Tree, split_of

Shape = tuple[str, Any, list[float] | None, Any]  # class, group, box, mask


def is_labelme(value: Any) -> bool:
    """Whether a JSON value is a file of LabelMe."""
    return isinstance(value, dict) and is_list_of_dicts(value.get('shapes'))


def is_isat(value: Any) -> bool:
    """Whether a JSON value is a file of ISAT."""
    return (
        isinstance(value, dict)
        and isinstance(value.get('info'), dict)
        and is_list_of_dicts(value.get('objects'))
    )


def read(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with LabelMe's files."""
    return _read(tree, notes, is_labelme, _labelme_head, _labelme_shapes)


def read_isat(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with ISAT's files."""
    return _read(tree, notes, is_isat, _isat_head, _isat_shapes)


def _read(
    tree: Tree,
    notes: Notes,
    is_ours: Callable,
    head: Callable,
    shapes: Callable,
) -> list[Part]:
    parts: dict[str, Part] = {}
    for file in tqdm(tree.ending('.json'), 'Reading JSON', disable=None):
        value = read_json(tree.path(file), notes)
        if not is_ours(value):
            continue
        near = str(PurePosixPath(file).parent)
        part = part_of(parts, split_of(near), 'the JSON files')
        name, width, height = head(value)
        stem = PurePosixPath(file).stem
        match = tree.find(str(name), near) or tree.find(stem, near)
        file = match.file if match else str(name)
        key = add_image(part, file, width, height)
        for label, box, mask in _objects(shapes(value, notes)):
            add_object(part, key, label, box, mask)
    name_by_use(parts.values())
    return [*parts.values()]


def _objects(
    shapes: Iterator[Shape],
) -> Iterator[tuple[str, list[float], Any]]:
    """Yield class, box and mask; a group's shapes of a class are one."""
    groups: dict[tuple, list[tuple]] = {}
    for i, (label, group, box, mask) in enumerate(shapes):
        name = (label, i, None) if group is None else (label, None, str(group))
        groups.setdefault(name, []).append((box, mask))
    for (label, *_), members in groups.items():
        masks = [mask for _, mask in members if mask]
        boxes = [box for box, _ in members if box]
        boxes += [box_of(mask) for mask in masks]
        lows = [min(box[i] for box in boxes) for i in (0, 1)]
        highs = [max(box[i] + box[i + 2] for box in boxes) for i in (0, 1)]
        sides = [b - a for a, b in zip(lows, highs, strict=True)]
        yield label, [*lows, *sides], merge(masks)


def _labelme_head(value: dict) -> tuple[Any, Any, Any]:
    sides = value.get('imageWidth'), value.get('imageHeight')
    return value.get('imagePath') or '', *sides


def _labelme_shapes(value: dict, notes: Notes) -> Iterator[Shape]:
    for shape in value['shapes']:
        kind = shape.get('shape_type') or 'polygon'
        points = pairs(shape.get('points')) or []
        label, group = str(shape.get('label')), shape.get('group_id')
        if kind == 'mask' and (
            mask := _mask(shape.get('mask'), points, value)
        ):
            yield label, group, None, mask
        elif kind in ('rectangle', 'mask') and len(points) >= 4:
            unread = 'mask that cannot be read taken as its box'
            notes.add(unread, label, count=kind == 'mask')
            yield label, group, box_of([points]), []
        elif kind == 'circle' and len(points) == 4:
            radius = math.dist(points[:2], points[2:])
            yield label, group, None, [ellipse(*points[:2], radius, radius)]
        elif kind == 'polygon' and len(points) >= LEAST_NUMBERS:
            yield label, group, None, [points]
        else:
            notes.add(NO_AREA, kind)


def _mask(text: Any, points: list[float], value: dict) -> dict | None:
    """Return the mask in a picture, as text, that starts at a point.

    None is returned where there is none.
    """
    _, *sides = _labelme_head(value)
    is_sized = all(type(side) is int and side > 0 for side in sides)
    if not is_sized or math.prod(sides) > MAX_PIXELS or not points:
        return None
    try:
        with opened_picture(base64.b64decode(text)) as image:
            pixels = np.asarray(image.convert('L')) > 0
    except (BrokenPicture, TypeError, ValueError):
        return None
    return mask_at(pixels, int(points[0]), int(points[1]), *sides)


def _isat_head(value: dict) -> tuple[Any, Any, Any]:
    info = value['info']
    return info.get('name') or '', info.get('width'), info.get('height')


def _isat_shapes(value: dict, notes: Notes) -> Iterator[Shape]:
    for item in value['objects']:
        points = polygon_of(item.get('segmentation'))
        if not points:
            notes.add(NO_AREA, item.get('category'))
            continue
        # group 0 is none
        yield (
            str(item.get('category')),
            item.get('group') or None,
            None,
            [points],
        )
