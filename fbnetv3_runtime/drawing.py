"""Pictures of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from . import Result

MASK_OPACITY = 0.45
LUMA = 0.299, 0.587, 0.114  # ITU-R BT.601


def draw(picture: Image.Image, found: Result) -> Image.Image:
    """Return a copy of a picture, mode RGB, that shows what was found."""
    copy = picture.copy()
    font = ImageFont.load_default(max(10, round(0.8 * max(copy.size) ** 0.5)))
    # golden angles: neighbours differ
    colors = [
        tuple(round(255 * v) for v in hsv_to_rgb(0.618 * i % 1, 0.75, 0.95))
        for i in found.labels.tolist()
    ]
    if found.masks is not None:
        for mask, color in zip(found.masks, colors, strict=True):
            opacity = Image.fromarray(mask * np.uint8(255 * MASK_OPACITY))
            copy.paste(color, mask=opacity)
    parts = (found.boxes.tolist(), found.names, found.scores, colors)
    # the best come first; drawn last, they lie on top
    for box, name, score, color in reversed([*zip(*parts, strict=True)]):
        text = f'{" ".join(name.split())}: {score:.2f}'
        _frame(copy, box, text, color, font)
    return copy


def _frame(
    picture: Image.Image,
    box: Sequence[float],
    text: str,
    color: tuple[int, int, int],
    font: ImageFont.FreeTypeFont,
) -> None:
    """Draw a box with a dark rim, and its text above, or else inside."""
    pen = ImageDraw.Draw(picture)
    line = max(2, round(font.size) // 8)
    x1, y1, x2, y2 = box
    pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, 'black', line + 2)
    pen.rectangle(box, None, color, line)
    height = 1.3 * font.size
    width = pen.textlength(text, font) + height / 2.6
    left = min(max(x1, 0), picture.width - width)
    top = y1 - height if y1 >= height else y1
    pen.rectangle((left, top, left + width, top + height), color)
    ink = 'black' if np.dot(LUMA, color) > 128 else 'white'
    pen.text((left + width / 2, top + height / 2), text, ink, font, 'mm')
