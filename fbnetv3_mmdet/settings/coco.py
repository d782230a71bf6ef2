"""What an annotation file in COCO's format holds."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NUM_FILES = 20  # how many of the images' names are kept


class Contents(NamedTuple):
    """A summary of an annotation file."""

    classes: tuple[str, ...]  # the categories' names, in the file's order
    files: tuple[str, ...]  # names of some images, spread over the file
    num_annotations: int
    usable: frozenset[str]  # names of the categories with a usable box


def read_contents(path: str) -> Contents:
    """Read an annotation file, once a process unless it changes.

    Raises:
        ValueError: The file is missing, empty or of another format; the
            message continues a sentence that begins with the file.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError('is not a file')
    stat = file.stat()
    return _read(file, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _read(file: Path, size: int, _changed: int) -> Contents:
    if not size:
        raise ValueError('is empty')
    try:
        data = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f'is not JSON ({error})') from error
    for section in ('images', 'categories'):
        if not isinstance(data, dict) or not data.get(section):
            raise ValueError(f'has no {section}')
    try:
        return _summary(data)
    except KeyError as error:
        raise ValueError(f'has an entry without {error}') from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'has an entry of a wrong type ({error})') from error


def _summary(data: Mapping) -> Contents:
    images = {image['id']: image for image in data['images']}
    names = {item['id']: item['name'] for item in data['categories']}
    annotations = data.get('annotations') or []
    files = [image['file_name'] for image in images.values()]
    return Contents(
        classes=tuple(names.values()),
        files=tuple(files[:: -(-len(files) // NUM_FILES)]),
        num_annotations=len(annotations),
        usable=frozenset(
            names[item['category_id']]
            for item in annotations
            if item['category_id'] in names
            and _is_usable(item, images.get(item['image_id']))
        ),
    )


def _is_usable(annotation: Mapping, image: Mapping | None) -> bool:
    """Whether training uses the box; ``CocoDataset`` drops the others."""
    left, top, width, height = annotation['bbox']
    return (
        image is not None
        and min(width, height) >= 1
        and annotation['area'] > 0
        and min(left + width, image['width']) > max(left, 0)
        and min(top + height, image['height']) > max(top, 0)
        and not annotation.get('ignore')
        and not annotation.get('iscrowd')
    )
