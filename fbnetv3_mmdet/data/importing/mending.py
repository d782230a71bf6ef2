"""Mending of labels: what a tool wrote becomes what training reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..annotations.values import box_fault, number
from ..pictures import BrokenPicture
from .boxes import convert_boxes, four_numbers
from .masks import DECIMALS, area_of, box_of, mend_mask
from .notes import Notes
from .parts import Part
from .pictures import size_of
from .tree import Tree

IMAGE_KEYS = ('id', 'file_name', 'width', 'height')
OBJECT_KEYS = ('id', 'image_id', 'category_id')
MISSING = 'picture that is not there left out'
BRUSH = 'brush mask made an object'
CUT = 0.01  # px: what is less outside is rounding


class Sample(NamedTuple):
    """A picture with its objects."""

    file: str  # relative to the source
    width: int  # px
    height: int
    objects: list[dict[str, Any]]  # annotations without ids, with their 'name'
    extra: dict[str, Any]  # what else was said of it
    is_sized: bool  # the picture has this size


def mend_part(
    part: Part,
    tree: Tree | None,
    boxes: str | None,
    brush_masks: bool,
    notes: Notes,
) -> list[Sample]:
    """Return the pictures of a part, with objects that training can use.

    Args:
        part: As a reader returns it. Its annotations are changed.
        tree: Where the pictures are; None: their names are taken as they
            are, and sizes too.
        boxes: ``'xyxy'`` or ``'xywh'``, None where nobody said.
        brush_masks: Whether run-length crowds are single objects.
        notes: Gets what was mended.

    Raises:
        ValueError: The boxes' form is unclear, or two pictures have one id.
    """
    samples = _mend_images(part, tree, notes)
    pairs = [*_pair(part, samples, notes)]
    sized = [(item, s.width, s.height) for s, item in pairs]
    convert_boxes(sized, boxes, part.origin, notes)
    for sample, item in pairs:
        if mend_object(item, sample, brush_masks, notes):
            sample.objects.append(item)
    unique = {id(sample): sample for sample in samples.values()}
    return [*unique.values()]


def _pair(
    part: Part, samples: Mapping[str, Sample], notes: Notes
) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Yield each object, as a copy with its class's name, and its picture."""
    names = {key_of(c.get('id')): c['name'] for c in part.data['categories']}
    written = {
        repr(entry.get('id'))
        for section in ('images', 'categories')
        for entry in part.data[section]
    }
    for item in part.data['annotations']:
        sample = samples.get(key_of(item.get('image_id')))
        name = names.get(key_of(item.get('category_id')))
        if sample is None:
            notes.add('object of a picture that is left out or unknown')
        elif name is None:
            kind = 'object of an unknown category left out'
            notes.add(kind, item.get('category_id'))
        else:
            _note_id(item.get('id'), notes)
            for key in ('image_id', 'category_id'):
                if repr(item.get(key)) not in written:
                    notes.add('id of another type matched', item.get(key))
            rest = {k: v for k, v in item.items() if k not in OBJECT_KEYS}
            yield sample, {**rest, 'name': name}


def key_of(value: Any) -> str:
    """Return an id as text, the same for 1, 1.0 and '1'."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _mend_images(
    part: Part, tree: Tree | None, notes: Notes
) -> dict[str, Sample]:
    """Return the pictures that there are, by the text of their ids."""
    samples: dict[str, Sample] = {}
    files: dict[str, tuple[Sample, str]] = {}
    for image in part.data['images']:
        key, name = key_of(image.get('id')), str(image.get('file_name') or '')
        _note_id(image.get('id'), notes)
        file = _resolve(name, part, tree, notes)
        if file is None:
            continue
        known, spelling = files.get(file, (None, name))
        if spelling != name:  # of another folder, which is not there
            notes.add(MISSING, name)
            continue
        if known:
            notes.add('second entry of a picture merged', name)
        sample = known or _sample(image, file, tree, notes)
        if sample is None:
            continue
        files[file] = sample, name
        if samples.setdefault(key, sample) is not sample:
            raise ValueError(
                f'in {part.origin!r}, the image id {key} is that of '
                f'{samples[key].file!r} and of {name!r}; export the data '
                'again'
            )
    return samples


def _resolve(
    name: str, part: Part, tree: Tree | None, notes: Notes
) -> str | None:
    """Return the file that a name means."""
    if tree is None:
        return name
    match = tree.find(name, part.near, part.split)
    if match is None:
        notes.add(MISSING, name)
        return None
    if not match.is_spelled_so:
        notes.add('file name resolved to the file that exists', name)
    return match.file


def _sample(
    image: Mapping[str, Any], file: str, tree: Tree | None, notes: Notes
) -> Sample | None:
    """Return a picture without objects yet, None where it is none."""
    said = [number(image.get(side)) for side in ('width', 'height')]
    is_said = all(side and 1 <= side < math.inf for side in said)
    size = said
    if tree is not None:
        try:
            size = size_of(tree.path(file))
        except BrokenPicture as error:
            notes.add(f'picture left out: {error.kind}', file)
            return None
    elif not is_said:
        raise ValueError(
            f'the size of {file!r} is missing; give the folder of the '
            'pictures, where it is looked up'
        )
    if not is_said:
        notes.add('width and height derived', file)
        said = size
    is_sized = [*said] == [*size]
    if not is_sized and [*said] != [*size][::-1]:
        notes.add('picture of another size than its file says, kept', file)
    extra = {k: v for k, v in image.items() if k not in IMAGE_KEYS}
    return Sample(file, int(said[0]), int(said[1]), [], extra, is_sized)


def mend_object(
    item: dict[str, Any], sample: Sample, brush_masks: bool, notes: Notes
) -> bool:
    """Mend an object in place; return whether it is one at all."""
    item['segmentation'] = mend_mask(
        item.get('segmentation'), sample.width, sample.height, notes
    )
    box = four_numbers(item.get('bbox'))
    if box is None:
        box = box_of(item['segmentation'])
        if box is None:
            notes.add('object without a box left out', item.get('bbox'))
            return False
        notes.add('box derived from the mask', item.get('bbox'))
    item['bbox'] = box = _cut(box, sample, notes)
    fault = box_fault(box, sample.width, sample.height)
    if fault and (min(box[2:]) < 1 or sample.is_sized):
        notes.add('empty box left out', box)
        return False
    crowd = item.get('iscrowd')
    if type(crowd) is not int or crowd not in (0, 1):
        notes.add('iscrowd derived', crowd)
        crowd = int(crowd is True)
    if crowd and brush_masks and isinstance(item['segmentation'], dict):
        notes.add(BRUSH, item['name'])
        crowd = 0
    item['iscrowd'] = crowd
    area = number(item.get('area'))
    if area is None or not 0 < area < math.inf:
        notes.add('area derived', item.get('area'))
        item['area'] = area_of(item['segmentation']) or box[2] * box[3]
    return True


def _cut(box: list[float], sample: Sample, notes: Notes) -> list[float]:
    """Return a box without what of it is outside of its picture."""
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    right = min(x + width, sample.width)
    bottom = min(y + height, sample.height)
    cut = [left, top, right - left, bottom - top]
    change = max(abs(a - b) for a, b in zip(box, cut, strict=True))
    if sample.is_sized and change and min(cut[2:]) > 0:
        notes.add('box cut at the edge of its picture', count=change > CUT)
        box = cut
    return [
        int(v) if v.is_integer() else round(v, DECIMALS)
        for v in map(float, box)
    ]


def _note_id(value: Any, notes: Notes) -> None:
    if type(value) is not int or value < 1:
        notes.add('id made a number from 1', value)
