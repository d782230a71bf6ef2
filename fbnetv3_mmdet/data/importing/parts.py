"""What the readers return, and how they read files that may be hostile."""

from __future__ import annotations

import codecs
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...files import memory_limit
from .masks import area_of
from .notes import Notes

MAX_BYTES = 16 * 2**20  # of a file with the labels of one picture
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Part(NamedTuple):
    """Labels of one part of the data, as raw as the tool wrote them."""

    split: str  # 'train', 'val' or 'test', '' where the source says none
    origin: str  # file or folder that it is from, for messages
    data: dict[str, Any]  # as COCO's: images, annotations and categories
    near: str = ''  # folder that the images' names are near


def new_part(split: str, origin: str, near: str = '') -> Part:
    """Return a part that is empty yet; its fields are those of a part."""
    empty = {'images': [], 'annotations': [], 'categories': []}
    return Part(split, origin, empty, near)


def part_of(parts: dict[str, Part], split: str, origin: str) -> Part:
    """Return the part of a name, made where it is not there yet."""
    return parts.setdefault(split, new_part(split, origin))


def add_image(part: Part, file: str, width: Any, height: Any) -> int:
    """Add a picture to a part; return its id."""
    images = part.data['images']
    size = {'width': width, 'height': height}
    images.append({'id': len(images) + 1, 'file_name': file, **size})
    return len(images)


def add_object(
    part: Part,
    image: int,
    category: Any,
    box: list[float],
    mask: Any = (),
) -> None:
    """Add an object to a part.

    Args:
        part: The part.
        image: Id of its picture.
        category: Id of its category.
        box: x, y, width and height in pixels.
        mask: Its polygons, x, y, x, y, ... in pixels, or run lengths.
    """
    annotations = part.data['annotations']
    annotations.append(
        {
            'id': len(annotations) + 1,
            'image_id': image,
            'category_id': category,
            'bbox': box,
            'area': area_of(mask) or box[2] * box[3],
            'segmentation': mask or [],
            'iscrowd': 0,
        }
    )


def name_by_use(parts: Iterable[Part]) -> None:
    """Enter the categories whose names are their ids, by the alphabet.

    With more pictures of the same classes, their order stays.
    """
    parts = [*parts]
    names = {
        item['category_id']
        for part in parts
        for item in part.data['annotations']
    }
    for part in parts:
        part.data['categories'] += [
            {'id': name, 'name': name} for name in sorted(names)
        ]


def check_shared(parts: Sequence[Part]) -> None:
    """Refuse two files of the same images for the same part.

    Raises:
        ValueError: There are such files.
    """
    seen: dict[tuple, str] = {}
    for part in parts:
        for image in part.data['images']:
            key = part.split, part.near, str(image.get('file_name'))
            other = seen.setdefault(key, part.origin)
            if other != part.origin:
                raise ValueError(
                    f'{other!r} and {part.origin!r} both label the image '
                    f'{key[-1]!r}; move one of the files out of the folder'
                )


def read_bytes(path: Path, notes: Notes) -> bytes:
    """Return the content of a small file of labels.

    Raises:
        ValueError: It is too large for one, or cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f'{str(path)!r} is larger than {MAX_BYTES >> 20} MiB, too '
                'large for labels of one picture; move it out of the folder'
            )
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    _note_encoding(content, path, notes)
    return content


def read_text(path: Path, notes: Notes) -> str:
    """Return the text of a small file in UTF-8 or UTF-16, as it says."""
    content = read_bytes(path, notes)
    wide = content.startswith(MARKS[1:])
    try:
        return content.decode('utf-16' if wide else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise _unreadable(path, 'neither UTF-8 nor UTF-16') from error


def read_json(path: Path, notes: Notes) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: It is no JSON, too deep, or too large for the memory.
    """
    value, content_start = _load(path, path.stat().st_mtime_ns)
    _note_encoding(content_start, path, notes)
    return value


@functools.lru_cache(maxsize=4)  # recognised, then read
def _load(path: Path, _changed: int) -> tuple[Any, bytes]:
    try:
        with memory_limit():
            content = path.read_bytes()
            return json.loads(content), content[:4]
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    except ValueError as error:
        raise _unreadable(path, f'no JSON: {error}') from error
    except RecursionError as error:
        raise _unreadable(path, 'nested too deeply') from error
    except MemoryError as error:
        raise _unreadable(path, 'too large for the free memory') from error


def _note_encoding(content: bytes, path: Path, notes: Notes) -> None:
    if content.startswith(MARKS):
        notes.add('file with a byte order mark read', path.name)


def _unreadable(path: Path, why: str | None) -> ValueError:
    return ValueError(
        f'{str(path)!r} cannot be read ({why}); export it again or move it '
        'out of the folder'
    )


def is_list_of_dicts(value: Any) -> bool:
    """Whether a value from a JSON file is a list of objects."""
    return isinstance(value, list) and all(isinstance(v, dict) for v in value)
