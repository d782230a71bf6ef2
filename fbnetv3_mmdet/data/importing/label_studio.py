"""Label Studio's own formats, JSON and JSON-MIN: a list of tasks a file."""

from __future__ import annotations

import math
import re
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
    is_list_of_dicts,
    name_by_use,
    new_part,
    read_json,
)
from .shapes import SEVERAL, ellipse, polygon_of, turned
from .tree import Tree, split_of

UPLOAD = re.compile(r'(^|/)[0-9a-f]{8}-(?=[^/]*$)')  # before a file's name
QUERY = re.compile(r'\?(?!d=).*')  # of a URL; local files have theirs there
BOX = ('x', 'y', 'width', 'height')


def is_label_studio(value: Any) -> bool:
    """Whether a JSON value is a file of Label Studio."""
    return (
        bool(value)
        and is_list_of_dicts(value)
        and all(_is_full(task) or 'annotation_id' in task for task in value)
    )


def read(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with Label Studio's files.

    Raises:
        ValueError: Two files name the same pictures.
    """
    parts = []
    for file in tree.ending('.json'):
        tasks = read_json(tree.path(file), notes)
        if not is_label_studio(tasks):
            continue
        near = str(PurePosixPath(file).parent)
        part = new_part(split_of(file), file, near)
        for task in tasks:
            _add(part, task, tree, notes)
        parts.append(part)
    check_shared(parts)
    name_by_use(parts)
    return parts


def _is_full(task: dict[str, Any]) -> bool:
    return isinstance(task.get('data'), dict) and is_list_of_dicts(
        task.get('annotations')
    )


def _add(part: Part, task: dict[str, Any], tree: Tree, notes: Notes) -> None:
    """Add the picture of a task, and its objects."""
    name = _find_picture(task, tree, part.near)
    regions = _regions(task, name, notes)
    if regions is None:
        notes.add('picture without an annotation yet left out', name)
        return
    first = next(iter(regions), {})
    sides = (first.get(f'original_{side}') for side in BOX[2:])
    key = add_image(part, name, *sides)
    for region in regions:
        names = _classes(region)
        box, polygons = _shape(region)
        if not names:
            notes.add('region without a class left out', name)
        elif box is None:
            kinds = [key for key in region if key.endswith('labels')]
            notes.add(
                'region that is no box, polygon or ellipse left out', *kinds
            )
        else:
            notes.add(SEVERAL, *names, count=len(names) > 1)
            add_object(part, key, names[0], box, polygons)


def _find_picture(task: dict[str, Any], tree: Tree, near: str) -> str:
    """Return the file that a task shows, or what is said where none is.

    Files that were uploaded have eight digits before their names, which the
    user's own have not.
    """
    said = [
        QUERY.sub('', value)
        for value in task.get('data', task).values()
        if isinstance(value, str)
    ]
    for name in said:
        match = tree.find(name, near) or tree.find(
            UPLOAD.sub(r'\1', name), near
        )
        if match:
            return match.file
    return next(iter(said), '')


def _regions(
    task: dict[str, Any], name: str, notes: Notes
) -> list[dict[str, Any]] | None:
    """Return the regions of a task with their sizes; None: no annotation."""
    if not _is_full(task):  # the annotation of one person a task
        lists = [v for v in task.values() if is_list_of_dicts(v)]
        return [r for regions in lists for r in regions if _classes(r)]
    done = [
        item['result']
        for item in sorted(
            task['annotations'], key=lambda a: not a.get('ground_truth')
        )
        if not item.get('was_cancelled')
        and is_list_of_dicts(item.get('result'))
    ]
    if not done:
        return None
    kind = "further person's annotation of a picture left out"
    notes.add(kind, name, count=len(done) - 1)
    return [
        {**result, **result['value']}
        for result in done[0]
        if isinstance(result.get('value'), dict)
    ]


def _classes(region: dict[str, Any]) -> list[str]:
    """Return the classes of a region; the key tells of which kind it is."""
    return [
        str(name)
        for key, names in region.items()
        if key.endswith('labels') and isinstance(names, list)
        for name in names
    ]


def _shape(
    region: dict[str, Any],
) -> tuple[list[float] | None, list[list[float]]]:
    """Return box and polygons in pixels; None where it has no area."""
    sides = [number(region.get(f'original_{s}')) for s in BOX[2:]]
    if None in sides:
        return None, []
    scale = [side / 100 for side in sides]  # lengths are in per cent
    angle = math.radians(number(region.get('rotation')) or 0)
    keys = ('x', 'y', 'radiusX', 'radiusY') if 'radiusX' in region else BOX
    values = [number(region.get(key)) for key in keys]
    if 'points' in region:
        polygon = polygon_of(region['points'])
        polygon = polygon and [
            value * scale[i % 2] for i, value in enumerate(polygon)
        ]
    elif None in values:
        polygon = None
    else:
        x, y, width, height = (
            value * scale[i % 2] for i, value in enumerate(values)
        )
        if keys is not BOX:
            polygon = ellipse(x, y, width, height, angle)
        elif not angle:
            return [x, y, width, height], []
        else:  # around its corner
            ends = ((0, 0), (width, 0), (width, height), (0, height))
            polygon = [v for end in ends for v in turned(*end, angle, x, y)]
    return (box_of([polygon]), [polygon]) if polygon else (None, [])
