"""Pascal VOC: an XML file a picture."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree

from tqdm import tqdm

from .notes import Notes
from .parts import (
    Part,
    add_image,
    add_object,
    name_by_use,
    part_of,
    read_text,
)
from .tree import Tree, split_of

SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


def read(tree: Tree, notes: Notes) -> list[Part]:
    """Return the parts of a folder with XML files in the format of VOC.

    Corners are taken as written. Tools count pixels from 0; the original
    Pascal VOC from 1, which moves its boxes by a pixel.

    Raises:
        ValueError: A file is no XML, or declares a document type.
    """
    sets = _read_sets(tree, notes)
    parts: dict[str, Part] = {}
    for file in tqdm(tree.ending('.xml'), 'Reading XML', disable=None):
        root = parse(tree, file, notes)
        if root.tag != 'annotation':
            continue
        path = PurePosixPath(file)
        folder = str(path.parent)
        split = sets.get(path.stem, '') if sets else split_of(folder)
        part = part_of(parts, split, 'the XML files')
        _add(part, root, file, tree, notes)
    name_by_use(parts.values())
    return [*parts.values()]


def parse(tree: Tree, file: str, notes: Notes) -> ElementTree.Element:
    """Return the root of an XML file that declares no entities.

    Raises:
        ValueError: It does, or is no XML.
    """
    text = read_text(tree.path(file), notes)
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise ValueError(
            f'{file!r} declares a document type, which labels have no need '
            'of and which can harm; move it out of the folder'
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(
            f'{file!r} is no XML ({error}); export it again or move it out '
            'of the folder'
        ) from error


def _add(
    part: Part,
    root: ElementTree.Element,
    file: str,
    tree: Tree,
    notes: Notes,
) -> None:
    """Add the picture of an XML file and its objects."""
    near, stem = str(PurePosixPath(file).parent), PurePosixPath(file).stem
    written = (root.findtext('filename') or '').strip()
    # Tools name the XML file after the picture, also where they wrote
    # another filename into it before the picture was renamed.
    match = tree.find(stem, near) or tree.find(written or stem, near)
    size = [_number(root.findtext(f'size/{s}')) for s in ('width', 'height')]
    key = add_image(part, match.file if match else written or stem, *size)
    for item in root.iter('object'):
        corners = [_number(item.findtext(f'bndbox/{side}')) for side in SIDES]
        if None in corners:
            notes.add('object without a box left out', file)
            continue
        if item.findtext('difficult') == '1':
            notes.add('object marked as difficult taken as any other', file)
        left, top, right, bottom = corners
        name = (item.findtext('name') or '').strip()
        box = [left, top, right - left, bottom - top]
        add_object(part, key, name, box)


def _read_sets(tree: Tree, notes: Notes) -> dict[str, str]:
    """Return the part of each stem that ImageSets/ lists."""
    sets = {}
    for file in tree.ending('.txt'):
        path = PurePosixPath(file)
        split = split_of(path.name)
        if 'ImageSets' in path.parts and split and path.stem == split:
            for line in read_text(tree.path(file), notes).splitlines():
                if line.strip():
                    sets[line.split()[0]] = split
    return sets


def _number(text: str | None) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return int(value) if value.is_integer() else value
