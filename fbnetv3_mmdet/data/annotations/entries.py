"""Defects of the images and categories of an annotation file."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from .defects import Defect
from .files import find_missing, read_size
from .findings import Findings, Place
from .rules import Rules
from .values import has_ids, number


class Picture(NamedTuple):
    """An entry of the images."""

    id: Hashable
    file: str | None  # None: has none, or one that leaves the folder
    width: float | None  # px; None where the size is not known
    height: float | None
    is_used: bool  # is large enough for training
    name: Any = None  # as it is written


def check_images(
    entries: Sequence[Any],
    rules: Rules,
    findings: Findings,
    folder: Path | None = None,
) -> dict[Hashable, Picture]:
    """Return the images by their ids, and count what is wrong with them.

    Args:
        entries: Of the annotation file.
        rules: What training makes of them.
        findings: Gets the defects.
        folder: That their names start from: files are looked for in it, and
            sizes that are missing read from them. None: they are not.
    """
    pictures: dict[Hashable, Picture] = {}
    files: set[str] = set()
    for entry in entries:
        if not has_ids(entry, 'id'):
            findings.add(Defect.IMAGE_ENTRY, Place(about=entry))
            continue
        key, name = entry['id'], entry.get('file_name')
        place = Place(name, key)
        if key in pictures:
            findings.add(Defect.IMAGE_ID_TWICE, place._replace(about=key))
        file = _check_file(name, place, findings)
        if file in files:
            findings.add(Defect.SAME_NAME, place._replace(about=key))
        files |= {file} - {None}
        sides = [number(entry.get(side)) for side in ('width', 'height')]
        if not all(side and 1 <= side < math.inf for side in sides):
            findings.add(Defect.NO_SIZE, place)
            sides = file and folder and read_size(folder / file)
            sides = sides or (None, None)
        is_used = None not in sides and min(sides) >= rules.min_size
        if None not in sides and not is_used:
            findings.add(Defect.SMALL_IMAGE, place)
        pictures[key] = Picture(key, file, *sides, is_used, name)
    if len({isinstance(k, (int, float)) or type(k) for k in pictures}) > 1:
        findings.add(Defect.MIXED_IDS, Place())
    if folder is not None:
        _check_missing(pictures.values(), findings, folder)
    return pictures


def _check_missing(
    pictures: Iterable[Picture], findings: Findings, folder: Path
) -> None:
    named = {picture.file: picture for picture in pictures if picture.file}
    for file, other in find_missing(named, folder).items():
        place = Place(file, named[file].id)
        if other:
            place = place._replace(about=f'is there as {other}')
        findings.add(Defect.SPELLING if other else Defect.MISSING, place)


def _check_file(name: Any, place: Place, findings: Findings) -> str | None:
    """Return a file name that stays in its folder, or else None."""
    if not isinstance(name, str) or not name.strip() or '\0' in name:
        findings.add(Defect.NO_NAME, place)
        return None
    windows = PureWindowsPath(name)
    parts = {*PurePosixPath(name).parts, *windows.parts}
    if '..' in parts or windows.anchor:
        findings.add(Defect.NAME_LEAVES, place)
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
            findings.add(Defect.CATEGORY_ENTRY, Place(about=entry))
            continue
        key, name = entry['id'], entry['name']
        if key in classes:
            findings.add(Defect.CATEGORY_ID_TWICE, Place(about=key))
        elif name in names:
            findings.add(Defect.SAME_CATEGORY, Place(about=name))
        names.add(name)
        classes[key] = name
    keys = [key for key in classes if type(key) is int]
    if keys and max(keys) - min(keys) >= len(keys):
        about = f'{len(keys)} from {min(keys)} to {max(keys)}'
        findings.add(Defect.GAPS, Place(about=about))
    return classes
