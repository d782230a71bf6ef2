"""YOLO's format: a text file a picture, boxes and polygons as fractions."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any

import yaml
from tqdm import tqdm

from ..annotations.findings import show
from ..pictures import BrokenPicture
from .notes import Notes
from .parts import Part, add_image, add_object, part_of, read_text
from .pictures import size_of
from .tree import Tree, split_of

NAMES = ('classes.txt', 'obj.names', '_darknet.labels', 'labels.txt')
BOX = (5, 6)  # numbers of a line: class, box, and of some tools a score
Object = tuple[int, list[float], list[list[float]]]


def find_labels(tree: Tree) -> dict[str, str]:
    """Return the text file of each picture that has one."""
    texts = {file: file for file in tree.ending('.txt')}
    labels = {}
    for picture in tree.pictures:
        beside = str(PurePosixPath(picture).with_suffix('.txt'))
        for text in (_swap(beside), beside):
            if text in texts:
                labels[picture] = text
                break
    return labels


def is_label(text: str) -> bool:
    """Whether a text is the labels of a picture, if not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return all(_numbers(line) for line in lines[:5])


def read(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with labels in YOLO's format.

    Pictures without a text file are backgrounds where others of their folder
    have one.

    Raises:
        ValueError: A file of names is wrong, or few lines are labels.
    """
    names, folders = _read_names(tree, notes)
    labels = find_labels(tree)
    labelled = {str(PurePosixPath(picture).parent) for picture in labels}
    parts: dict[str, Part] = {}
    bad = 0
    for picture in tqdm(tree.pictures, 'Reading labels', disable=None):
        folder = str(PurePosixPath(picture).parent)
        if folder not in labelled:
            continue
        split = folders.get(folder) or split_of(folder)
        part = part_of(parts, split, 'the text files')
        try:
            size = size_of(tree.path(picture))
        except BrokenPicture as error:
            notes.add(f'picture left out: {error.kind}', picture)
            continue
        text = ''
        if picture in labels:
            text = read_text(tree.path(labels[picture]), notes)
        bad += _add(part, picture, size, text, notes)
    _name_classes(parts, names)
    count = sum(len(part.data['annotations']) for part in parts.values())
    if bad > count:
        raise ValueError(
            f'{bad} lines of the text files are no labels and {count} are; '
            'give a folder in YOLO\'s format: "class x y width height" a '
            'line, or "class x y x y x y ...", in fractions of the picture'
        )
    return [*parts.values()]


def _add(
    part: Part,
    picture: str,
    size: tuple[int, int],
    text: str,
    notes: Notes,
) -> int:
    """Add a picture and its objects; return how many lines are none."""
    key, bad = add_image(part, picture, *size), 0
    for line in filter(str.strip, text.splitlines()):
        values = _numbers(line)
        if values is None:
            notes.add('line that is no label left out', picture)
            bad += 1
            continue
        label, box, polygons = _object(values, *size)
        add_object(part, key, label, box, polygons)
    return bad


def _object(values: list[float], width: int, height: int) -> Object:
    """Return class, box and polygons of a line's numbers, in pixels."""
    label, sides = int(values[0]), values[1:]
    if len(values) in BOX:
        x, y, w, h = sides[:4]
        box = [(x - w / 2) * width, (y - h / 2) * height]
        return label, [*box, w * width, h * height], []
    polygon = [
        value * (height if i % 2 else width) for i, value in enumerate(sides)
    ]
    xs, ys = polygon[::2], polygon[1::2]
    left, top = min(xs), min(ys)
    box = [left, top, max(xs) - left, max(ys) - top]
    return label, box, [polygon]


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line with a label, None for another line."""
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    is_label = (
        (len(values) in BOX or (len(values) >= 7 and len(values) % 2))
        and all(map(math.isfinite, values))
        and values[0].is_integer()
        and values[0] >= 0
        and all(-1 <= value <= 2 for value in values[1:5])
    )
    return values if is_label else None


def _name_classes(parts: dict[str, Part], names: dict[int, str]) -> None:
    """Enter the classes, those without a name by their number."""
    used = {
        item['category_id']
        for part in parts.values()
        for item in part.data['annotations']
    }
    for part in parts.values():
        part.data['categories'] += [
            {'id': i, 'name': names.get(i, str(i))}
            for i in sorted(used | {*names})
        ]


def _read_names(
    tree: Tree, notes: Notes
) -> tuple[dict[int, str], dict[str, str]]:
    """Return names by number, and the parts of folders that it names."""
    for file in tree.ending('.yaml', '.yml'):
        text = read_text(tree.path(file), notes)
        try:
            value = yaml.safe_load(text) if len(text) < 2**20 else None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            why = ' '.join(str(error).split())
            raise ValueError(
                f'{file!r} is no YAML ({why}); correct it'
            ) from error
        if isinstance(value, dict) and 'names' in value:
            return _by_number(value['names'], file), _folders(value, tree)
    for file in tree.ending(*NAMES):
        if PurePosixPath(file).name in NAMES:
            lines = read_text(tree.path(file), notes).split('\n')
            return _by_number(
                [n.strip() for n in lines if n.strip()], file
            ), {}
    return {}, {}


def _by_number(names: Any, file: str) -> dict[int, str]:
    items = names if isinstance(names, dict) else None
    if isinstance(names, list):
        items = dict(enumerate(names))
    # nested ones are none, and can be endless
    if items is None or not all(
        str(key).isdecimal() and isinstance(name, (str, int, float))
        for key, name in items.items()
    ):
        raise ValueError(
            f'names={show(names)} of {file!r} are no list of classes; write '
            "names: ['cat', 'dog']"
        )
    return {int(key): str(name) for key, name in items.items()}


def _folders(value: dict[str, Any], tree: Tree) -> dict[str, str]:
    """Return the part of each folder with pictures that data.yaml names.

    Its paths often start from elsewhere: the folders that end so are meant.
    """
    folders = {str(PurePosixPath(file).parent) for file in tree.pictures}
    named = {}
    for key in ('test', 'val', 'train'):
        paths = value.get(key)
        for path in paths if isinstance(paths, list) else [paths]:
            words = str(path or '').replace('\\', '/').split('/')
            while words and not (
                found := _ending_so(folders, [w for w in words if w])
            ):
                words = words[1:]
            named |= dict.fromkeys(found if words else (), key)
    return named


def _ending_so(folders: set[str], words: list[str]) -> list[str]:
    """Return the folders in whose path these words follow each other."""
    end = f'/{"/".join(words)}/'
    return [f for f in folders if words and end in f'/{f}/']


def _swap(path: str) -> str:
    """Return where labels of a picture in a folder images/ lie."""
    parts = list(PurePosixPath(path).parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    return '/'.join(parts)
