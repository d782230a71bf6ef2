"""Defects that only a whole annotation file shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from .defects import Defect
from .entries import Picture
from .findings import Findings, Place

MOST = 0.5  # of the boxes are wrong as they are written,
ALL = 0.95  # ... and so many, but for slips, are right otherwise
SLACK = 1  # px: roundings
MANY = 0.2  # of the objects are crowds: hardly meant
# How many annotations there are by image id, label, and why they are not to
# be found; None: they are.
Faults = Mapping[tuple[Hashable, int, Defect | None], int]


def check_units(
    boxes: Sequence[tuple[Place, Picture, float | None]], findings: Findings
) -> None:
    """Count boxes that are not x, y, width, height in pixels, as it seems.

    Corners fit into their images as such, and leave them or contradict their
    areas when they are taken for a width and a height. Fractions are all of
    at most 1.

    Args:
        boxes: Each of four finite numbers, with its picture and area in px².
        findings: Gets the defects.
    """
    boxes = [entry for entry in boxes if entry[1].width is not None]
    if not boxes:
        return
    box = np.array([place.box for place, _, _ in boxes], float)
    size = np.array([(i.width, i.height) for _, i, _ in boxes], float)
    area = np.array([math.nan if a is None else a for _, _, a in boxes])
    low, last = box[:, :2], box[:, 2:]
    fits = ((last > low) & (low >= 0) & (last <= size + SLACK)).all(1)
    leaves = (low + last > size + SLACK).any(1)
    tells = np.isclose(area, (last - low).prod(1)) & ~np.isclose(
        area, last.prod(1)
    )
    if ((box >= 0) & (box <= 1)).all() and (last > 0).all():
        defect, found = Defect.FRACTIONS, last > 0
    elif fits.mean() >= ALL and (
        (leaves & fits).mean() > MOST or (tells & fits).mean() >= ALL
    ):
        defect, found = Defect.CORNERS, fits
    else:
        return
    for (place, _, _), is_meant in zip(boxes, found, strict=True):
        if np.all(is_meant):
            findings.add(defect, place)


def check_images_used(
    pictures: Mapping[Hashable, Picture], faults: Faults, findings: Findings
) -> None:
    """Count images that have nothing to find.

    Args:
        pictures: By id.
        faults: Of the annotations of known classes.
        findings: Gets the defects.
    """
    named: Counter[Hashable] = Counter()
    ignored: Counter[Hashable] = Counter()
    usable: Counter[Hashable] = Counter()
    for (image, _, why), count in faults.items():
        named[image] += count
        usable[image] += count * (why is None)
        is_ignored = why in (Defect.CROWD, Defect.IGNORED)
        ignored[image] += count * is_ignored
    for key, picture in pictures.items():
        place = Place(picture.name, key)
        if not named[key]:
            findings.add(Defect.NO_OBJECTS, place)
        elif ignored[key] == named[key]:
            findings.add(Defect.ONLY_IGNORED, place)
        elif not usable[key] and picture.is_used:
            findings.add(Defect.NONE_USABLE, place)


def check_classes(
    names: Sequence[str],
    labels: Mapping[Hashable, int | None],
    in_file: Iterable[str],
    faults: Faults,
    findings: Findings,
) -> None:
    """Count classes that have nothing to find, and crowds that are many.

    Args:
        names: Of the classes.
        labels: By the categories' ids.
        in_file: Names of all categories.
        faults: Of the annotations of known classes.
        findings: Gets the defects.
    """
    by_class: dict[int, Counter] = {i: Counter() for i in range(len(names))}
    for (_, label, why), count in faults.items():
        by_class[label][why] += count
    for label, causes in by_class.items():
        if not causes[None]:
            about = _cause(causes)
            if label not in labels.values():
                about = f'is none of {", ".join(in_file)}'
            findings.add(Defect.EMPTY_CLASS, Place(names[label], about=about))
    total = sum(by_class.values(), Counter())
    if not total[None]:
        findings.add(Defect.NOTHING, Place(about=_cause(total)))
    crowds, number = total[Defect.CROWD], total.total()
    if crowds > MANY * number:
        about = f'{crowds} of {number}'
        findings.add(Defect.CROWDS, Place(about=about))


def _cause(causes: Counter) -> str:
    """Say in short why there is nothing to find."""
    if not causes.total():
        return 'no annotation of a known image names it'
    (why, count), *_ = causes.most_common()
    return f'{why}: {count} of {causes.total()}'
