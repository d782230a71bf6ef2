"""A picture of the bounds of overlap: background, ignored, object."""

from __future__ import annotations

from typing import Any


def bar(name: str, lower: Any, upper: Any) -> str:
    """Return two bounds of overlap as a picture: background, ignored, object.

    Args:
        name: Of what overlaps objects.
        lower: Below it, it is background.
        upper: From it on, it is an object.
    """
    if not all(
        isinstance(v, (int, float)) and 0 <= v <= 1 for v in (lower, upper)
    ):
        return ''
    parts = (
        ('background', 0, lower, '#5c6b73'),
        ('ignored', lower, upper, '#a9b6bf'),
        ('object', upper, 1, '#2d7d46'),
    )
    rects = ''.join(
        f'<rect x="{100 * a:.0f}" y="0" width="{100 * max(b - a, 0):.0f}" '
        f'height="14" fill="{color}"/>'
        for _, a, b, color in parts
    )
    words = f'{name}: background below {lower:g}, object from {upper:g}'
    words += f', ignored from {lower:g} to {upper:g}' * (lower < upper)
    return (
        f'<svg viewBox="0 0 100 14" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}" style="width:100%;height:14px;'
        f'margin-top:.75rem">{rects}</svg><p class="note quiet">{words}</p>'
    )
