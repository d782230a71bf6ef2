"""Pictures of what the data doctor finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...visualization import FONT, contact_sheet
from ..annotations import Finding, Place, show
from ..annotations.defects import ERROR, NOTE
from ..annotations.entries import Picture
from ..annotations.files import FORMATS
from ..annotations.values import number

TILE = 240  # px, width and height of a picture in the sheet
LINE = 15  # px, of the text below
COLUMNS = 4
PER_KIND = 4  # pictures of a kind of defect, at most
NUM_TILES = 24
MARGIN = 40  # px of the image around a box, at least
FAR = 3  # times the image: no further out do boxes show
INK = {ERROR: (200, 30, 30), NOTE: (60, 60, 60)}
COLORS = ((0, 90, 255), (230, 0, 0))  # of another box, of the box
ORANGE = (215, 110, 0)


def draw_defects(
    findings: Iterable[Finding],
    pictures: Mapping,
    folder: Path | None,
) -> Image.Image | None:
    """Return a contact sheet of defects, None where there are none to show.

    Args:
        findings: Worst first. Those of no image are left out.
        pictures: What the annotation file says of the images, by id.
        folder: Of the images; None: they are not opened, and grey.
    """
    found = [
        (finding, [p for p in finding.places if p.image in pictures])
        for finding in findings
    ]
    num_kinds = sum(bool(places) for _, places in found)
    per_kind = min(PER_KIND, max(1, NUM_TILES // max(1, num_kinds)))
    shown = [
        (finding, place, pictures[place.image])
        for finding, places in found
        for place in places[:per_kind]
    ][:NUM_TILES]
    tiles = [_tile(*what, folder) for what in shown]
    if not tiles:
        return None
    columns = min(COLUMNS, len(tiles))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return contact_sheet(rows, [''] * columns)


def _tile(
    finding: Finding, place: Place, picture: Picture, folder: Path | None
) -> Image.Image:
    """Return one defect's picture with three lines of text below."""
    tile = Image.new('RGB', (TILE, TILE + 3 * LINE + 4), 'white')
    photo = _open(folder, picture.file)
    box, twin = _corners(place.box), _corners(place.twin)
    sides = photo.size if photo else (picture.width, picture.height)
    if None not in sides:
        window = _window(box, *sides)
        tile.paste(_view(photo, sides, window, [twin, box]), (0, 0))
    else:
        tile.paste((225, 225, 225), (0, 0, TILE, TILE))
    draw = ImageDraw.Draw(tile)
    font = ImageFont.truetype(str(FONT), 11)
    ink = INK.get(finding.level, ORANGE)
    where = str(place._replace(about=''))
    for row, text in enumerate(
        (str(finding.defect), where, show(place.about))
    ):
        while font.getlength(text) > TILE:
            text = f'{text[:-2]}…'
        draw.text((0, TILE + 2 + row * LINE), text, ink, font)
        ink = 'black'
    return tile


def _open(folder: Path | None, file: str | None) -> Image.Image | None:
    """Return a picture as training reads it, None where that fails."""
    if folder is None or file is None:
        return None
    path = folder / file
    try:
        if not path.is_file():
            return None
        with Image.open(path, formats=FORMATS) as image:
            return ImageOps.exif_transpose(image).convert('RGB')
    except Exception:  # Pillow raises anything on broken files
        return None


def _corners(box: Any) -> tuple[float, ...] | None:
    """Return left, top, right, bottom of a box that can be drawn."""
    values = [number(value) for value in box] if isinstance(box, list) else []
    if len(values) != 4 or None in values or not np.isfinite(values).all():
        return None
    left, top, width, height = values
    xs, ys = sorted((left, left + width)), sorted((top, top + height))
    return xs[0], ys[0], xs[1], ys[1]


def _window(
    box: tuple[float, ...] | None, width: float, height: float
) -> tuple[float, float, float]:
    """Return left, top and side of the square of the image to show."""
    left, top, right, bottom = box or (0, 0, width, height)
    around = max(right - left, bottom - top, MARGIN) if box else 0
    left, right = left - around, right + around
    top, bottom = top - around, bottom + around
    if box and max(abs(left), abs(right)) > FAR * width + around:
        left, right = 0, width
    if box and max(abs(top), abs(bottom)) > FAR * height + around:
        top, bottom = 0, height
    side = max(right - left, bottom - top, 1)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def _view(
    photo: Image.Image | None,
    sides: tuple[float, float],
    window: tuple[float, float, float],
    boxes: Sequence[tuple[float, ...] | None],
) -> Image.Image:
    """Return the square of a picture, or a grey one, with boxes in it."""
    left, top, side = window
    scale = TILE / side
    view = Image.new('RGB', (TILE, TILE), (160, 160, 160))
    # what of the image lies in the window
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + side, sides[0]), min(top + side, sides[1])
    if x2 > x1 and y2 > y1:
        size = [
            max(1, round((b - a) * scale)) for a, b in ((x1, x2), (y1, y2))
        ]
        part = Image.new('RGB', size, (225, 225, 225))
        if photo:
            part = photo.resize(size, Image.BILINEAR, (x1, y1, x2, y2))
        view.paste(
            part, (round((x1 - left) * scale), round((y1 - top) * scale))
        )
    draw = ImageDraw.Draw(view)
    for box, color in zip(boxes, COLORS, strict=True):
        if box:
            corners = [
                min(max(round((value - start) * scale), -9), TILE + 9)
                for value, start in zip(box, (left, top) * 2, strict=True)
            ]
            draw.rectangle(corners, None, color, 2)
    return view
