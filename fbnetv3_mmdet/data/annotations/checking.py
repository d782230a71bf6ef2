"""Defects of an annotation file in COCO's format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .entries import Picture, check_categories, check_images
from .findings import (
    IGNORED,
    NO_AREA,
    NO_CROWD,
    NO_MASK,
    NO_OBJECTS,
    NONE_USABLE,
    NOTE,
    PART_POLYGON,
    PARTLY,
    RLE_MASK,
    TEXT_ID,
    ZERO_ID,
    Findings,
    Place,
    show,
)
from .rules import Rules
from .values import box_fault, has_ids, mask_fault, number

SOUND = {PART_POLYGON, PARTLY, ZERO_ID}  # at whatever level

SAME = 0.9  # IoU from which two boxes of a class are nearly the same
NEIGHBOURS = 32  # boxes, from left to right, that each is compared with


class Content(NamedTuple):
    """What training gets from an annotation file.

    The N boxes are those that it finds objects in, without crowds.
    """

    pictures: dict[Hashable, Picture]  # by id
    names: tuple[str, ...]  # of the classes
    num_annotations: int
    boxes: np.ndarray  # (N, 4): x, y, width, height in pixels
    labels: np.ndarray  # (N,): index in names
    sizes: np.ndarray  # (N, 2): width and height of the box's image


class _Object(NamedTuple):
    """A usable annotation."""

    id: Hashable
    box: list[float]
    label: int
    picture: Picture


def check_annotations(
    data: Mapping[str, Any], rules: Rules
) -> tuple[Content, Findings]:
    """Return what training would use, and what is wrong with it.

    Args:
        data: What :func:`.read_annotations` returns.
        rules: What training makes of images and annotations.
    """
    findings = Findings(rules.kinds)
    pictures = check_images(data['images'], rules, findings)
    classes = check_categories(data['categories'], findings)
    numbers: dict[str, int] = {}
    for name in classes.values():
        if rules.classes is None or name in rules.classes:
            numbers.setdefault(name, len(numbers))
    labels = {key: numbers.get(name) for key, name in classes.items()}
    checker = _Checker(pictures, labels, rules, findings)
    for annotation in data['annotations']:
        checker.check(annotation)
    checker.check_coverage()
    objects = checker.usable
    boxes = np.array([o.box for o in objects], float).reshape(-1, 4)
    _check_twins(objects, boxes, findings)
    sizes = [(o.picture.width, o.picture.height) for o in objects]
    content = Content(
        pictures,
        tuple(numbers),
        len(data['annotations']),
        boxes,
        np.array([o.label for o in objects], int),
        np.array(sizes, float).reshape(-1, 2),
    )
    return content, findings


class _Checker:
    """Checks one annotation after the other.

    Args:
        pictures: By id.
        labels: Of the categories, by id; None: the config lacks the class.
        rules: Of the config.
        findings: Gets the defects.
    """

    def __init__(
        self,
        pictures: Mapping[Hashable, Picture],
        labels: Mapping[Hashable, int | None],
        rules: Rules,
        findings: Findings,
    ) -> None:
        self.usable: list[_Object] = []
        self._pictures = pictures
        self._labels = labels
        self._rules = rules
        self._findings = findings
        self._ids: set[Hashable] = set()
        self._boxes: set[tuple] = set()
        # annotations by id of the image
        self._num_named: Counter[Hashable] = Counter()
        self._num_ignored: Counter[Hashable] = Counter()
        self._num_usable: Counter[Hashable] = Counter()

    def check(self, item: Any) -> None:
        """Count what is wrong with an annotation; keep it if usable."""
        if not has_ids(item, 'id', 'image_id', 'category_id'):
            kind = 'annotation entry of a wrong type'
            key = item.get('id') if isinstance(item, dict) else None
            self._findings.add(kind, Place(annotation=key, about=item))
            return
        key, image = item['id'], item['image_id']
        picture = self._pictures.get(image)
        if picture is None:
            place = Place(None, image, key)
            self._findings.add('unknown image id', place)
            return
        place = Place(picture.file, image, key, item.get('bbox'))
        if key in self._ids:
            self._findings.add('duplicate annotation id', place)
        self._ids.add(key)
        faults = [*self._faults(item, picture)]
        for kind in faults:
            self._findings.add(kind, place)
        label = self._labels.get(item['category_id'])
        self._num_named[image] += label is not None
        if {'crowd', IGNORED} & {*faults}:
            self._num_ignored[image] += 1
        elif not any(map(self._is_fatal, faults)):
            self._num_usable[image] += 1
            if picture.is_used:
                box = [float(value) for value in item['bbox']]
                self.usable.append(_Object(key, box, label, picture))

    def _faults(
        self, item: Mapping[str, Any], picture: Picture
    ) -> Iterator[str]:
        """Yield the kinds of an annotation's defects."""
        if number(item['id']) is None:
            yield TEXT_ID
        elif item['id'] == 0:
            yield ZERO_ID
        if item.get('ignore'):
            yield IGNORED
            if not self._rules.is_raw:  # CocoDataset looks no further
                return
        kind = box_fault(item.get('bbox'), picture.width, picture.height)
        if kind:
            yield kind
        area = number(item.get('area'))
        if area is None:
            yield 'area that is no number'
        elif not math.isfinite(area):
            yield 'area that is NaN or infinite'
        elif area <= 0:
            yield NO_AREA
        category = item['category_id']
        if category not in self._labels:
            yield 'unknown category id'
        elif self._labels[category] is None:
            yield 'class that the config lacks'
        if 'iscrowd' not in item:
            yield NO_CROWD
        elif item['iscrowd'] not in (0, 1):
            yield 'iscrowd that is neither 0 nor 1'
        if item.get('iscrowd'):
            yield 'crowd'
        elif kind in (None, PARTLY):
            known = (picture.id, category, *item['bbox'])
            if known in self._boxes:
                yield 'duplicate box'
            self._boxes.add(known)
        mask = item.get('segmentation')
        fault = mask_fault(mask, *picture[2:4], self._rules.polygons)
        if fault == NO_MASK and not self._rules.with_mask:
            return
        if fault and not (fault == RLE_MASK and item.get('iscrowd')):
            yield fault

    def _is_fatal(self, kind: str) -> bool:
        return kind not in SOUND and self._findings.level(kind) != NOTE

    def check_coverage(self) -> None:
        """Count images that have nothing to find."""
        for key, picture in self._pictures.items():
            place = Place(picture.file, key)
            if not self._num_named[key]:
                self._findings.add(NO_OBJECTS, place)
            elif self._num_ignored[key] == self._num_named[key]:
                kind = 'image with only ignored objects'
                self._findings.add(kind, place)
            elif not self._num_usable[key] and picture.width is not None:
                self._findings.add(NONE_USABLE, place)


def _check_twins(
    objects: list[_Object], boxes: np.ndarray, findings: Findings
) -> None:
    """Count boxes that are nearly those of another object of the class."""
    pictures: dict[Hashable, int] = {}
    group = [
        (pictures.setdefault(o.picture.id, len(pictures)), o.label)
        for o in objects
    ]
    group = np.array(group, int).reshape(-1, 2)
    order = np.lexsort((boxes[:, 0], *group.T))
    low, sides, group = boxes[order, :2], boxes[order, 2:], group[order]
    area, high = sides.prod(1), low + sides
    found: dict[int, int] = {}
    for step in range(1, NEIGHBOURS + 1):
        common = np.minimum(high[step:], high[:-step]) - np.maximum(
            low[step:], low[:-step]
        )
        overlap = np.maximum(common, 0).prod(1)
        union = area[step:] + area[:-step] - overlap
        same = (group[step:] == group[:-step]).all(1)
        for i in np.flatnonzero(same & (overlap >= SAME * union)):
            pair = sorted((int(order[i]), int(order[i + step])))
            found.setdefault(pair[1], pair[0])
    for later, earlier in sorted(found.items()):
        item, other = objects[later], objects[earlier]
        place = Place(item.picture.file, item.picture.id, item.id, item.box)
        place = place._replace(about=f'as #{show(other.id)}', twin=other.box)
        findings.add('nearly the same box twice', place)
