"""VIA's own format: a JSON file with the regions of many pictures.

It is a project of VIA 2, or its export of annotations as JSON, which VIA 1
wrote too. Only regions are read: of rectangles, polygons, circles, ellipses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ..annotations.values import number
from .masks import box_of
from .notes import Notes
from .parts import (
    Part,
    add_image,
    add_object,
    check_shared,
    name_by_use,
    new_part,
    read_json,
)
from .shapes import NO_AREA, SEVERAL, ellipse, pairs
from .tree import Tree, split_of

CLASS = ('class', 'label', 'name', 'category', 'type')  # usual attributes
ONLY = 'object'  # the class where regions have no attributes


def is_via(value: Any) -> bool:
    """Whether a JSON value is a file of VIA."""
    return bool(_pictures(value))


def read(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with VIA's files.

    Raises:
        ValueError: Two files name the same pictures, or it is unclear which
            attribute of the regions is their class.
    """
    parts = []
    for file in tree.ending('.json'):
        pictures = _pictures(read_json(tree.path(file), notes))
        if not pictures:
            continue
        near = str(PurePosixPath(file).parent)
        part = new_part(split_of(file), file, near)
        attribute = _find_attribute(pictures, file)
        for picture in pictures:
            key = add_image(part, picture['filename'], None, None)
            for region in _regions(picture):
                _add(part, key, region, attribute, notes)
        parts.append(part)
    check_shared(parts)
    name_by_use(parts)
    return parts


def _pictures(value: Any) -> list[dict[str, Any]]:
    """Return the entries of pictures, none where it is no file of VIA."""
    if isinstance(value, dict):
        value = value.get('_via_img_metadata', value)
    entries = [*value.values()] if isinstance(value, dict) else []
    is_ours = all(
        isinstance(entry, dict)
        and isinstance(entry.get('filename'), str)
        and isinstance(entry.get('regions'), (list, dict))
        for entry in entries
    )
    return entries if is_ours else []


def _regions(picture: dict[str, Any]) -> Iterator[tuple[dict, dict]]:
    """Yield shape and attributes of each region; VIA 1 numbers them."""
    regions = picture['regions']
    for region in regions if isinstance(regions, list) else regions.values():
        keys = 'shape_attributes', 'region_attributes'
        both = [isinstance(region, dict) and region.get(key) for key in keys]
        shape, attributes = (v if isinstance(v, dict) else {} for v in both)
        yield shape, attributes


def _find_attribute(pictures: list[dict], file: str) -> str | None:
    """Return which attribute is the class, None where there is none."""
    found = {
        key: None
        for picture in pictures
        for _, attributes in _regions(picture)
        for key, value in attributes.items()
        if _values(value)
    }
    usual = [key for key in found if key.strip().lower() in CLASS]
    choice = usual or [*found]
    if len(choice) > 1:
        raise ValueError(
            f'in {file!r}, regions have the attributes {choice}, and it is '
            "unclear which is the class; rename that one to 'class' in VIA, "
            'and the others to other names'
        )
    return next(iter(choice), None)


def _values(value: Any) -> list[str]:
    """Return the values of an attribute: one, or those that are ticked."""
    if isinstance(value, dict):
        return [str(key) for key, ticked in value.items() if ticked]
    text = '' if value is None else str(value).strip()
    return [text] if text else []


def _add(
    part: Part,
    image: int,
    region: tuple[dict, dict],
    attribute: str | None,
    notes: Notes,
) -> None:
    shape, attributes = region
    names = _values(attributes.get(attribute)) if attribute else [ONLY]
    if not names:
        notes.add('region without a class left out', part.origin)
        return
    notes.add(SEVERAL, *names, count=len(names) > 1)
    kind = shape.get('name')
    if kind == 'rect' and (
        box := _numbers(shape, 'x', 'y', 'width', 'height')
    ):
        add_object(part, image, names[0], box)
    elif polygon := _polygon(kind, shape):
        add_object(part, image, names[0], box_of([polygon]), [polygon])
    else:
        notes.add(NO_AREA, kind)


def _polygon(kind: Any, shape: dict[str, Any]) -> list[float] | None:
    if kind == 'polygon':
        xs, ys = shape.get('all_points_x'), shape.get('all_points_y')
        if isinstance(xs, list) and isinstance(ys, list):
            return pairs([*map(list, zip(xs, ys, strict=False))])
    if kind == 'circle':
        circle = _numbers(shape, 'cx', 'cy', 'r')
        return ellipse(*circle, circle[2]) if circle else None
    if kind == 'ellipse':
        angle = number(shape.get('theta')) or 0
        sides = _numbers(shape, 'cx', 'cy', 'rx', 'ry')
        return ellipse(*sides, angle) if sides else None
    return None


def _numbers(shape: dict[str, Any], *keys: str) -> list[float] | None:
    values = [number(shape.get(key)) for key in keys]
    return None if None in values else values
