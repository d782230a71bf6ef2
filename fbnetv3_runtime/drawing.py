"""Pictures of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import Font, show_names

if TYPE_CHECKING:
    from .results import Result

BITMAP_SIZE = 11  # px, of the font that old Pillows have
MASK_OPACITY = 0.45
LUMA = 0.299, 0.587, 0.114  # ITU-R BT.601


def draw(picture: Image.Image, found: Result) -> Image.Image:
    """Return a copy of a picture, mode RGB, that shows what was found."""
    copy = picture.copy()
    font = _load_font(max(10, round(0.8 * max(copy.size) ** 0.5)))
    labels = found.labels.tolist()
    names = [' '.join(name.split()) for name in found.names]
    font, names = show_names(names, labels, font)
    # golden angles: neighbours differ
    colors = [
        tuple(round(255 * v) for v in hsv_to_rgb(0.618 * i % 1, 0.75, 0.95))
        for i in labels
    ]
    if found.masks is not None:
        for mask, color in zip(found.masks, colors, strict=True):
            pixels = mask.pixels * np.uint8(255 * MASK_OPACITY)
            copy.paste(color, mask.corner, Image.fromarray(pixels))
    parts = (found.boxes.tolist(), names, found.scores, colors)
    # the best come first; drawn last, they lie on top
    for box, name, score, color in reversed([*zip(*parts, strict=True)]):
        _frame(copy, box, f'{name}: {score:.2f}', color, font)
    return copy


def _load_font(size: int) -> Font:
    """Return a font of a height in pixels, where Pillow has such."""
    try:
        return ImageFont.load_default(size)
    except TypeError:  # before Pillow 10.1 it is of one size
        return ImageFont.load_default()


def _frame(
    picture: Image.Image,
    box: Sequence[float],
    text: str,
    color: tuple[int, int, int],
    font: Font,
) -> None:
    """Draw a box with a dark rim, and its text above, or else inside."""
    pen = ImageDraw.Draw(picture)
    size = getattr(font, 'size', BITMAP_SIZE)
    line = max(2, round(size) // 8)
    x1, y1, x2, y2 = box
    pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, 'black', line + 2)
    pen.rectangle(box, None, color, line)
    height = 1.3 * size
    width = pen.textlength(text, font) + height / 2.6
    left = min(max(x1, 0), picture.width - width)
    top = y1 - height if y1 >= height else y1
    pen.rectangle((left, top, left + width, top + height), color)
    ink = 'black' if np.dot(LUMA, color) > 128 else 'white'
    if hasattr(font, 'size'):
        pen.text((left + width / 2, top + height / 2), text, ink, font, 'mm')
    else:
        pen.text((left + height / 5.2, top + 1), text, ink, font)
