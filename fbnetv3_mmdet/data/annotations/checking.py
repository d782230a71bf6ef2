"""Defects of an annotation file in COCO's format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .content import Content, Object
from .coverage import check_classes, check_images_used, check_units
from .defects import ASIDE, DROPPED, ERROR, Defect
from .entries import Picture, check_categories, check_images
from .findings import Findings, Place
from .rules import Rules
from .twins import check_twins
from .values import (
    box_fault,
    has_ids,
    is_other_type,
    mask_fault,
    number,
    sound_mask,
)

# Whatever their level, objects of these are used.
SOUND = {
    Defect.PARTLY,
    Defect.PART_POLYGON,
    Defect.SAME_BOX,
    Defect.ZERO_ID,
}
MASKS = {
    Defect.NO_MASK,
    Defect.NO_POLYGON,
    Defect.ODD_POLYGON,
    Defect.PART_POLYGON,
    Defect.FLAT_POLYGON,
    Defect.BAD_MASK,
    Defect.WILD_MASK,
    Defect.RLE_MASK,
}


def check_annotations(
    data: Mapping[str, Any], rules: Rules, folder: Path | None = None
) -> tuple[Content, Findings]:
    """Return what training would use, and what is wrong with it.

    Args:
        data: What :func:`.read_annotations` returns.
        rules: What training makes of images and annotations.
        folder: That the file names start from; None: it is not looked into.
    """
    findings = Findings(rules.kinds)
    pictures = check_images(data['images'], rules, findings, folder)
    classes = check_categories(data['categories'], findings)
    names = rules.classes or tuple(dict.fromkeys(classes.values()))
    numbers = {name: number for number, name in enumerate(names)}
    labels = {key: numbers.get(name) for key, name in classes.items()}
    checker = _Checker(pictures, labels, rules, findings)
    for annotation in data['annotations']:
        checker.check(annotation)
    if data['annotations'] or rules.learns:
        check_units(checker.boxes, findings)
        check_images_used(pictures, checker.faults, findings)
        in_file = dict.fromkeys(classes.values())
        check_classes(names, labels, in_file, checker.faults, findings)
    else:
        findings.add(Defect.UNLABELLED, Place())
    content = _content(pictures, names, labels, checker)
    content = content._replace(
        num_annotations=len(data['annotations']),
        in_file=tuple(dict.fromkeys(classes.values())),
    )
    check_twins(content, findings)
    return content, findings


def _content(
    pictures: dict[Hashable, Picture],
    names: tuple[str, ...],
    labels: Mapping[Hashable, int | None],
    checker: _Checker,
) -> Content:
    """Return what is usable, of annotations that were checked."""
    found = [
        o for o in checker.objects if o.picture.is_used and not o.is_aside
    ]
    sizes = [(o.picture.width, o.picture.height) for o in found]
    ids = {label: key for key, label in reversed(labels.items())}
    return Content(
        pictures=pictures,
        names=names,
        num_annotations=0,
        boxes=np.array([o.box for o in found], float).reshape(-1, 4),
        labels=np.array([o.label for o in found], int),
        sizes=np.array(sizes, float).reshape(-1, 2),
        objects=checker.objects,
        named=frozenset(image for image, _, _ in checker.faults),
        categories=tuple(ids.get(label) for label in range(len(names))),
    )


class _Checker:
    """Checks one annotation after the other.

    Args:
        pictures: By id.
        labels: Of the categories, by id; None: the config lacks the class.
        rules: Of the config.
        findings: Gets the defects.

    Attributes:
        objects: What is taken, or set aside.
        faults: How many annotations there are by image id, label, and why
            they are not to be found; None: they are.
        boxes: Those that are four numbers, with their pictures and areas.
    """

    def __init__(
        self,
        pictures: Mapping[Hashable, Picture],
        labels: Mapping[Hashable, int | None],
        rules: Rules,
        findings: Findings,
    ) -> None:
        self.objects: list[Object] = []
        self.faults: Counter[tuple[Hashable, int, Defect | None]] = Counter()
        self.boxes: list[tuple[Place, Picture, float | None]] = []
        self._pictures = pictures
        self._labels = labels
        self._rules = rules
        self._findings = findings
        self._ids: set[Hashable] = set()
        self._boxes: set[tuple] = set()

    def check(self, item: Any) -> None:
        """Count what is wrong with an annotation; keep it if usable."""
        if not has_ids(item, 'id', 'image_id', 'category_id'):
            key = item.get('id') if isinstance(item, dict) else None
            place = Place(annotation=key, about=item)
            self._findings.add(Defect.ENTRY, place)
            return
        key, image = item['id'], item['image_id']
        picture = self._pictures.get(image)
        if picture is None:
            place = Place(None, image, key)
            if is_other_type(image, self._pictures):
                place = place._replace(about=f'image_id={image!r}')
                self._findings.add(Defect.IMAGE_AS_TEXT, place)
            else:
                self._findings.add(Defect.UNKNOWN_IMAGE, place)
            return
        place = Place(picture.name, image, key, item.get('bbox'))
        if key in self._ids:
            self._findings.add(Defect.ID_TWICE, place)
        self._ids.add(key)
        faults = [*self._faults(item, picture)]
        for defect in faults:
            self._findings.add(defect, place)
        label = self._labels.get(item['category_id'])
        if not {Defect.BAD_BOX, Defect.INFINITE_BOX, Defect.NAN_BOX} & {
            *faults
        } and not item.get('ignore'):
            self.boxes.append((place, picture, number(item.get('area'))))
        if label is not None:
            self._keep(item, picture, label, faults)

    def _keep(
        self,
        item: Mapping[str, Any],
        picture: Picture,
        label: int,
        faults: list[Defect],
    ) -> None:
        """Count why an annotation is not used, or keep it."""
        kinds = self._findings.kinds
        if picture.width is not None and not picture.is_used:
            faults = [*faults, Defect.SMALL_IMAGE]
        fatal = [d for d in faults if self._is_fatal(d)]
        aside = [d for d in faults if kinds[d].effect == ASIDE]
        aside += [Defect.CROWD] * (Defect.CROWD in faults)
        why = next(iter(fatal + aside), None)
        self.faults[picture.id, label, why] += 1
        if fatal:
            return
        box = tuple(float(value) for value in item['bbox'])
        area = number(item.get('area'))
        if area is None or not 0 < area < math.inf:
            area = box[2] * box[3]
        fault = next((d for d in faults if d in MASKS), None)
        mask = sound_mask(item.get('segmentation'), fault)
        aside = bool(aside)
        self.objects.append(
            Object(item['id'], box, label, picture, aside, area, mask)
        )

    def _is_fatal(self, defect: Defect) -> bool:
        level, effect = self._findings.kinds[defect]
        if defect in SOUND or effect == ASIDE:
            return False
        return level in (ERROR, DROPPED) or defect is Defect.IGNORED

    def _faults(
        self, item: Mapping[str, Any], picture: Picture
    ) -> Iterator[Defect]:
        """Yield an annotation's defects."""
        if number(item['id']) is None:
            yield Defect.TEXT_ID
        elif item['id'] == 0:
            yield Defect.ZERO_ID
        if item.get('ignore'):
            yield Defect.IGNORED
            if not self._rules.by_file:  # CocoDataset looks no further
                return
        fault = box_fault(item.get('bbox'), picture.width, picture.height)
        if fault:
            yield fault
        yield from _area_faults(item.get('area'))
        category = item['category_id']
        if category not in self._labels:
            is_text = is_other_type(category, self._labels)
            yield (
                Defect.CATEGORY_AS_TEXT
                if is_text
                else (Defect.UNKNOWN_CATEGORY)
            )
        elif self._labels[category] is None:
            yield Defect.OTHER_CLASS
        if item.get('iscrowd') is None:
            yield Defect.NO_CROWD
        elif item['iscrowd'] not in (0, 1):
            yield Defect.BAD_CROWD
        if item.get('iscrowd'):
            yield Defect.CROWD
        elif fault in (None, Defect.PARTLY):
            known = (picture.id, category, *item['bbox'])
            if known in self._boxes:
                yield Defect.SAME_BOX
            self._boxes.add(known)
        mask = item.get('segmentation')
        fault = mask_fault(
            mask, picture.width, picture.height, self._rules.polygons
        )
        if fault is Defect.NO_MASK and not self._rules.with_mask:
            return
        if fault and not (fault is Defect.RLE_MASK and item.get('iscrowd')):
            yield fault


def _area_faults(value: Any) -> Iterator[Defect]:
    area = number(value)
    if area is None:
        yield Defect.NO_AREA
    elif not math.isfinite(area):
        yield Defect.NAN_AREA
    elif area <= 0:
        yield Defect.ZERO_AREA
