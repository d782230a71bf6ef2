"""Objects that an annotation file has twice."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from .content import Content
from .defects import Defect
from .findings import Findings, Place, show

SAME = 0.9  # IoU from which two boxes of a class are nearly the same
NEIGHBOURS = 32  # boxes, from left to right, that each is compared with


def check_twins(content: Content, findings: Findings) -> None:
    """Count boxes that are nearly those of another object of the class."""
    objects = [
        o for o in content.objects if o.picture.is_used and not o.is_aside
    ]
    boxes = content.boxes
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
        box = list(item.box)
        place = Place(item.picture.file, item.picture.id, item.id, box)
        about, twin = f'as #{show(other.id)}', list(other.box)
        findings.add(Defect.NEAR_BOX, place._replace(about=about, twin=twin))
