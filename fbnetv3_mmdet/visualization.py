"""Pictures: detections, contact sheets, curves of a training run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from mmdet.visualization import get_palette
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw, ImageFont

from fbnetv3_runtime.fonts import Font, show_names

Color = tuple[int, int, int]

FONT = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
MASK_OPACITY = 0.45
GAP = 12  # px, between pictures of a sheet
AP = 'AP on val'
PANELS = {  # title: which keys of a record it shows, and under what name
    'loss': r'(?:.*/)?(loss.*)',
    'learning rate': r'(lr)',
    AP: r'(?:.*/)?((?:bbox|segm)_mAP(?:_50)?)',
}


def draw_instances(
    picture: Image.Image,
    instances: InstanceData,
    meta: Mapping,
    width: int | None = None,
) -> Image.Image:
    """Draw boxes, masks, class names and scores into a copy of a picture.

    MMDetection's visualizer draws text of one small size over the objects.

    Args:
        picture: Mode RGB.
        instances: ``bboxes`` (N, 4) in pixels of ``picture``, ``labels``
            (N,), and where there are any ``scores`` (N,) and ``masks``
            (N, H, W) of bool.
        meta: ``classes`` and, unless colours shall be random, ``palette``.
        width: Of the copy in pixels; None: that of ``picture``.
    """
    scale = (width or picture.width) / picture.width
    size = (round(picture.width * scale), round(picture.height * scale))
    copy = picture.resize(size, Image.BICUBIC)
    labels = instances.labels.tolist()
    colors = _colors(labels, meta)
    if 'masks' in instances:
        for mask, color in zip(instances.masks, colors, strict=True):
            _paint(copy, np.asarray(mask, bool), color)
    texts = [class_name(label, meta['classes']) for label in labels]
    font, texts = show_names(texts, labels, _font(max(copy.size)))
    if 'scores' in instances:
        scores = instances.scores.tolist()
        texts = [f'{t}: {s:.2f}' for t, s in zip(texts, scores, strict=True)]
    boxes = (instances.bboxes * scale).tolist()
    # The best come first; drawn last, they lie on top.
    for box, text, color in reversed(
        list(zip(boxes, texts, colors, strict=True))
    ):
        _frame(copy, box, text, color, font)
    return copy


def class_name(label: int, classes: Sequence[str]) -> str:
    """Return the name of a class, of whatever else its number."""
    return classes[label] if label < len(classes) else f'class {label}'


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str]
) -> Image.Image:
    """Return a table of pictures of one width, with titles of its columns.

    Args:
        rows: Pictures from left to right, as many as ``titles``; the last
            row may have fewer.
        titles: Of the columns.
    """
    width = rows[0][0].width
    font = _font(2 * width)
    heights = [max(picture.height for picture in row) for row in rows]
    tops = np.cumsum([2 * font.size, *(height + GAP for height in heights)])
    sheet = Image.new(
        'RGB', (len(titles) * (width + GAP) + GAP, int(tops[-1])), 'white'
    )
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = GAP + column * (width + GAP)
        middle = (left + width // 2, font.size)
        draw.text(middle, title, 'black', font, 'mm')
        for row, top in zip(rows, tops, strict=False):
            if column < len(row):
                sheet.paste(row[column], (left, int(top)))
    return sheet


def plot_curves(records: Sequence[Mapping]) -> Figure:
    """Plot losses, learning rate and AP of a training run.

    The legends give the last values.

    Args:
        records: What mmengine logged, each with its iteration as ``step``.
            A panel whose keys nothing logged is left out.
    """
    panels = {
        title: series
        for title, pattern in PANELS.items()
        if (series := _series(records, pattern))
    }
    figure = Figure((5 * len(panels), 4), dpi=120, layout='constrained')
    for i, (title, series) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), i)
        for name, points in series.items():
            label = f'{name}: {points[-1][1]:.3g}'
            axes.plot(*zip(*points, strict=True), '.-', label=label)
        axes.set(title=title, xlabel='iteration', xlim=(0, None))
        axes.set_ylim(0, 1 if title == AP else None)
        axes.ticklabel_format(scilimits=(-2, 5), useMathText=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _series(
    records: Sequence[Mapping], pattern: str
) -> dict[str, list[tuple[int, float]]]:
    """Return (iteration, value) of every key that the pattern matches."""
    series: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        for key, value in record.items():
            if match := re.fullmatch(pattern, key):
                name = match[1].replace('_mAP_', ' AP').replace('_mAP', ' AP')
                series.setdefault(name, []).append((record['step'], value))
    return series


def _colors(labels: Sequence[int], meta: Mapping) -> list[Color]:
    palette = get_palette(meta.get('palette'), max(labels, default=0) + 1)
    return [tuple(map(int, palette[label])) for label in labels]


def _font(width: int) -> ImageFont.FreeTypeFont:
    """Return a font for a picture of this width."""
    return ImageFont.truetype(str(FONT), max(10, round(0.8 * width**0.5)))


def _paint(picture: Image.Image, mask: np.ndarray, color: Color) -> None:
    """Tint the pixels of a mask, (H, W) bool, of the unscaled picture."""
    opacity = Image.fromarray(mask * np.uint8(255 * MASK_OPACITY))
    picture.paste(color, mask=opacity.resize(picture.size, Image.BILINEAR))


def _frame(
    picture: Image.Image,
    box: Sequence[float],
    text: str,
    color: Color,
    font: Font,
) -> None:
    """Draw a box with a dark rim, and its text above, or else inside."""
    draw = ImageDraw.Draw(picture)
    line = max(2, font.size // 8)
    x1, y1, x2, y2 = box
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, 'black', line + 2)
    draw.rectangle(box, None, color, line)
    width, height = font.getlength(text) + font.size // 2, 1.3 * font.size
    left = min(max(x1, 0), picture.width - width)
    top = y1 - height if y1 >= height else y1
    ink = 'black' if LUMA @ color > 128 else 'white'
    draw.rectangle((left, top, left + width, top + height), color)
    middle = (left + width / 2, top + height / 2)
    draw.text(middle, text, ink, font, 'mm')
