"""COCO's format, in any layout."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from .notes import Notes
from .parts import Part, check_shared, read_json
from .tree import Tree, split_of

FLAVOURS = (  # of the file's path, lower case
    ('_annotations.coco.json', "Roboflow's COCO"),
    ('instances_', "CVAT's or COCO's own layout of COCO"),
    ('result.json', "Label Studio's COCO"),
    ('via_', "VIA's COCO"),
)
SAME_AS_INSTANCES = ('person_keypoints', 'keypoints', 'captions', 'panoptic')


def is_coco(value: Any) -> bool:
    """Whether a JSON value is in COCO's format, labelled or not."""
    return isinstance(value, dict) and isinstance(value.get('images'), list)


def flavour(file: str) -> str:
    """Return whose layout a file's path shows."""
    for mark, name in FLAVOURS:
        if mark in file.lower():
            return name
    return 'COCO'


def read(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with annotation files in COCO's format.

    Raises:
        ValueError: Two files name the same images, or none has annotations.
    """
    parts = []
    files = tree.ending('.json')
    has_instances = any(_stem(f).startswith('instances') for f in files)
    for file in files:
        if has_instances and _stem(file).startswith(SAME_AS_INSTANCES):
            continue
        data = read_json(tree.path(file), notes)
        if not is_coco(data):
            continue
        if not data.get('annotations'):
            notes.add('file without annotations left out', file)
            continue
        near = str(PurePosixPath(file).parent)
        data = entries(data, file, notes)
        parts.append(Part(split_of(file), file, data, near))
    if not parts:
        raise ValueError(
            f'no JSON file in {str(tree.root)!r} has annotations; label '
            'pictures first, or give the folder with the labels'
        )
    check_shared(parts)
    return parts


def entries(data: dict[str, Any], file: str, notes: Notes) -> dict[str, Any]:
    """Return a copy with lists of objects, without what is none in them.

    Raises:
        ValueError: A list is missing.
    """
    lists = {}
    for section in ('images', 'annotations', 'categories'):
        items = data.get(section)
        if not isinstance(items, list):
            raise ValueError(
                f'{file!r} has no list of {section}; export it again in '
                "COCO's format"
            )
        lists[section] = [item for item in items if isinstance(item, dict)]
        count = len(items) - len(lists[section])
        notes.add('entry that is no object left out', section, count=count)
    return lists


def _stem(file: str) -> str:
    return PurePosixPath(file).stem.lower()
