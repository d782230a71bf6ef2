"""The classes of a data set: named, merged, chosen and put in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .mending import Sample
from .notes import Notes
from .parts import Part

MANY = 0.2  # of the objects: more crowds are asked about


def name_categories(
    parts: Sequence[Part], classes: Sequence[str] | None, notes: Notes
) -> list[str]:
    """Give every category a name; return the names in the source's order.

    Categories that are only numbered, as YOLO's can be, are named by
    ``classes``.

    Raises:
        ValueError: ``classes`` are fewer than the numbers.
    """
    for part in parts:
        part.data['categories'] = [
            {**item, 'name': str(item.get('name', item.get('id'))).strip()}
            for item in part.data['categories']
        ]
    items = [item for part in parts for item in part.data['categories']]
    names = [*dict.fromkeys(item['name'] for item in items)]
    if classes and all(name.isdecimal() for name in names):
        if not {*classes} <= {*names}:
            _name_by_number(items, classes)
    for part in parts:
        counts = Counter(item['name'] for item in part.data['categories'])
        for name, count in counts.items():
            notes.add(
                'category of the same name as another merged',
                name,
                count=count - 1,
            )
    return [*dict.fromkeys(item['name'] for item in items)]


def _name_by_number(
    items: Sequence[dict[str, Any]], classes: Sequence[str]
) -> None:
    for item in items:
        index = int(item['name'])
        if index >= len(classes):
            raise ValueError(
                f'--classes names {len(classes)} classes, and the labels '
                f'have a number {index}; name all, from number 0'
            )
        item['name'] = classes[index]


def choose_classes(
    train: Sequence[Sample],
    val: Sequence[Sample],
    names: Sequence[str],
    classes: Sequence[str] | None,
    notes: Notes,
) -> tuple[str, ...]:
    """Return the classes in order; objects of others are taken out.

    Args:
        train: Pictures to train with; a class needs an object there.
        val: All other pictures.
        names: The classes that the source declares, in its order.
        classes: Those that the user wants, in this order; None: all.
        notes: Gets what was left out.

    Raises:
        ValueError: A class that the user wants has no object, or none has.
    """
    used = Counter(
        item['name']
        for sample in train
        for item in sample.objects
        if not item['iscrowd']
    )
    _check_wanted(classes or (), used, notes)
    chosen = tuple(classes or (name for name in names if name in used))
    for name in names:
        if name not in used and name not in chosen:
            notes.add('category without objects left out', name)
    for sample in (*train, *val):
        others = [o['name'] for o in sample.objects if o['name'] not in chosen]
        for name in others:
            notes.add('object of another class left out', name)
        sample.objects[:] = [o for o in sample.objects if o['name'] in chosen]
    return chosen


def _check_wanted(
    classes: Sequence[str], used: Mapping[str, int], notes: Notes
) -> None:
    """Refuse classes without objects, named twice, or none at all."""
    if not used:
        raise ValueError(
            'no picture has an object left to train with '
            f'({"; ".join(notes.lines)}); label some'
        )
    for name in classes:
        if name not in used:
            raise ValueError(
                f'--classes names {name!r}, of which there is no object to '
                f'train with; choose from {sorted(used)}'
            )
    if len({*classes}) < len(classes):
        raise ValueError(
            f'--classes {" ".join(classes)} names a class twice; name it once'
        )


def ask_brush_masks(parts: Sequence[Part]) -> None:
    """Ask whether crowds are single objects, where there are many.

    Raises:
        ValueError: They are many, or a class has nothing else.
    """
    objects, crowds = Counter(), Counter()
    for part in parts:
        names = {str(c.get('id')): c['name'] for c in part.data['categories']}
        for item in part.data['annotations']:
            name = names.get(str(item.get('category_id')))
            objects[name] += 1
            is_mask = isinstance(item.get('segmentation'), dict)
            crowds[name] += bool(is_mask and item.get('iscrowd'))
    whole = [n for n in objects if crowds[n] == objects[n]]
    if whole or crowds.total() > MANY * objects.total():
        about = f', all of the class {whole[0]!r}' if whole else ''
        raise ValueError(
            f'{crowds.total()} of {objects.total()} objects are run-length '
            f'masks marked as crowds{about}, which training leaves out; '
            "CVAT's brush marks single objects so: give --brush-masks if "
            'each is an object, --no-brush-masks if each is a crowd'
        )
