"""Defects of the images and categories of an annotation file."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from .findings import MIXED_IDS, Findings, Place
from .rules import Rules
from .values import has_ids, number


class Picture(NamedTuple):
    """An entry of the images."""

    id: Hashable
    file: str | None  # None: has none, or one that leaves the folder
    width: float | None  # px; None where the size is wrong
    height: float | None
    is_used: bool  # is large enough for training


def check_images(
    entries: Sequence[Any], rules: Rules, findings: Findings
) -> dict[Hashable, Picture]:
    """Return the images by their ids, and count what is wrong with them."""
    pictures: dict[Hashable, Picture] = {}
    files: set[str] = set()
    for entry in entries:
        if not has_ids(entry, 'id'):
            findings.add('image entry of a wrong type', Place(about=entry))
            continue
        key, name = entry['id'], entry.get('file_name')
        place = Place(name, key)
        if key in pictures:
            findings.add('duplicate image id', place._replace(about=key))
        file = _check_file(name, place, findings)
        if file in files:
            findings.add('duplicate file name', place._replace(about=key))
        files |= {file} - {None}
        sides = [number(entry.get(side)) for side in ('width', 'height')]
        if not all(side and 1 <= side < math.inf for side in sides):
            sides = [None, None]
            findings.add('image size in JSON is wrong', place)
        is_used = None not in sides and min(sides) >= rules.min_size
        if None not in sides and not is_used:
            findings.add('image below min_size', place)
        pictures[key] = Picture(key, file, *sides, is_used)
    _check_types(pictures, 'images', findings)
    return pictures


def _check_file(name: Any, place: Place, findings: Findings) -> str | None:
    """Return a file name that stays in its folder, or else None."""
    if not isinstance(name, str) or not name.strip() or '\0' in name:
        findings.add('missing file name', place)
        return None
    windows = PureWindowsPath(name)
    parts = {*PurePosixPath(name).parts, *windows.parts}
    if '..' in parts or windows.anchor:
        findings.add('file name leaves the folder', place)
        return None
    return name


def check_categories(
    entries: Sequence[Any], findings: Findings
) -> dict[Hashable, str]:
    """Return the categories' names by their ids, and count what is wrong."""
    classes: dict[Hashable, str] = {}
    names: set[str] = set()
    for entry in entries:
        if not has_ids(entry, 'id') or not isinstance(entry.get('name'), str):
            kind = 'category entry of a wrong type'
            findings.add(kind, Place(about=entry))
            continue
        key, name = entry['id'], entry['name']
        if key in classes:
            findings.add('duplicate category id', Place(about=key))
        elif name in names:
            findings.add('duplicate category name', Place(about=name))
        names.add(name)
        classes[key] = name
    keys = [key for key in classes if type(key) is int]
    if keys and max(keys) - min(keys) >= len(keys):
        about = f'{len(keys)} from {min(keys)} to {max(keys)}'
        findings.add('category ids with gaps', Place(about=about))
    _check_types(classes, 'categories', findings)
    return classes


def _check_types(
    keys: Iterable[Hashable], section: str, findings: Findings
) -> None:
    """Count a section whose ids pycocotools could not sort."""
    if len({isinstance(key, (int, float)) or type(key) for key in keys}) > 1:
        findings.add(MIXED_IDS, Place(about=section))
