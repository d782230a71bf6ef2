"""Boxes and outlines over a picture, as SVG, which the browser scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

COLORS = (
    *('#ffd23f', '#3fd0ff', '#ff7ac6', '#7dff7a', '#ff8c42', '#b49bff'),
    *('#4cf0c5', '#ff6b6b'),
)  # legible on a dark rim


def overlay(objects: Sequence[Mapping[str, Any]], size: Sequence[int]) -> str:
    """Return a picture of objects, to lie over that in which they are.

    Args:
        objects: As the engine tells them, the best first.
        size: Width and height of the picture, in pixels.
    """
    width, height = size
    unit = width / 320  # of line widths and text
    shapes = (_shape(one, unit, width) for one in reversed(objects))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="{11 * unit:.1f}" stroke-linejoin="round">'
        f'{"".join(shapes)}</svg>'
    )


def _shape(one: Mapping[str, Any], unit: float, width: int) -> str:
    color = COLORS[one['number'] % len(COLORS)]
    x1, y1, x2, y2 = one['box']
    box = f'<rect x="{x1}" y="{y1}" width="{x2 - x1:.1f}" '
    box += f'height="{y2 - y1:.1f}" fill="none" '
    text = escape(one['label'])
    if 'score' in one:
        text += f' {one["score"]:.2f}'
    y = y1 - 3 * unit if y1 > 14 * unit else y1 + 11 * unit
    side = f'x="{x1}"'
    if x1 > width / 2:
        side = f'x="{x2}" text-anchor="end"'
    return (
        f'{_area(one.get("outline"), color)}'
        f'{box}stroke="#000" stroke-width="{3 * unit:.1f}"/>'
        f'{box}stroke="{color}" stroke-width="{1.5 * unit:.1f}"/>'
        f'<text {side} y="{y:.1f}" fill="{color}" stroke="#000" '
        f'stroke-width="{3 * unit:.1f}" paint-order="stroke">{text}</text>'
    )


def _area(outline: Sequence[Sequence[int]] | None, color: str) -> str:
    if not outline:
        return ''
    path = ''.join(f'M{" ".join(map(str, line))}Z' for line in outline)
    return (
        f'<path d="{path}" fill="{color}" fill-opacity=".45" '
        f'fill-rule="evenodd"/>'
    )
