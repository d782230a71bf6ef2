"""Shapes that labelling tools draw, as polygons."""

from __future__ import annotations

import math
from typing import Any

from ..annotations.values import LEAST_NUMBERS, number

CORNERS = 64  # of the polygon that stands for an ellipse
# what is noted
NO_AREA = 'shape that has no area left out'
SEVERAL = 'object of several classes taken as the first'


def pairs(value: Any) -> list[float] | None:
    """Return x, y, x, y, ... of a list of pairs, None where it is none."""
    if not isinstance(value, list):
        return None
    points = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            return None
        points += [number(side) for side in pair]
    is_good = None not in points and all(map(math.isfinite, points))
    return points if is_good else None


def polygon_of(value: Any) -> list[float] | None:
    """Return :func:`pairs` of three points or more, None of fewer."""
    points = pairs(value)
    return points if points and len(points) >= LEAST_NUMBERS else None


def ellipse(
    x: float, y: float, width: float, height: float, angle: float = 0
) -> list[float]:
    """Return the polygon of an ellipse.

    Args:
        x: Of its centre.
        y: Of that, too.
        width: Half of it, before it is turned.
        height: Half of it.
        angle: By which it is turned, in radians, from x to y.
    """
    polygon = []
    for i in range(CORNERS):
        turn = 2 * math.pi * i / CORNERS
        across, down = width * math.cos(turn), height * math.sin(turn)
        polygon += turned(across, down, angle, x, y)
    return polygon


def turned(
    across: float, down: float, angle: float, x: float, y: float
) -> tuple[float, float]:
    """Return a point at some distance of x, y, turned around it."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x + across * cos - down * sin, y + across * sin + down * cos
