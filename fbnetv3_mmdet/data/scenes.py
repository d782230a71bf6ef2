"""Drawing of DigitScenes: which digits, where, on what background.

All of it is integer arithmetic (floats hold integers, exactly), because
Pillow's filters and turns differ between platforms in a few pixels.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

VERSION = 1  # raise it whenever a scene changes
SPLITS = ('train', 'val')

HEIGHT, WIDTH = 224, 320  # px
MAX_DIGITS = 6  # in a scene
MIN_SIZE, MAX_SIZE = 24, 96  # px, height of a digit
MAX_ANGLE = 25  # degrees, either way
MIN_VISIBLE = 0.6  # of a digit that later ones partly cover
MAX_IOU = 0.3  # of two digits' boxes
MIN_CONTRAST = 80  # grey levels between a digit and the background
MIN_DISTANCE = 60  # levels, in some channel, between two digits
TRIES = 20  # sizes and positions tried before a digit is given up

LUMA = np.array([299, 587, 114])  # thousandths, ITU-R BT.601
STEPS = 64  # positions told apart between two samples that are enlarged
UNIT = 2 * STEPS**3  # the sum of an interpolation's weights
INK = 120  # level of a digit's outline: leaves the holes of 6, 8, 9 open


class Digits(NamedTuple):
    """The digit images of one split."""

    pixels: np.ndarray  # (N, 8, 8) uint8, 0 to 240
    labels: np.ndarray  # (N,), 0 to 9
    rows: np.ndarray  # (N,), position in scikit-learn's load_digits


def load_split(split: str) -> Digits:
    """Return the digits of a split: every fifth of a class is for 'val'.

    Source: the optical digits of the UCI repository that scikit-learn ships.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'DigitScenes draws with the digits of scikit-learn, which is '
            'missing: pip install "mmdet-fbnetv3[onedl]"'
        ) from error
    pixels, labels = load_digits().images, load_digits().target
    rank = np.empty_like(labels)  # position among the digits of its class
    for label in range(10):
        members = labels == label
        rank[members] = np.arange(members.sum())
    rows = np.flatnonzero((rank % 5 == 4) == (split == 'val'))
    return Digits((pixels[rows] * 15).astype(np.uint8), labels[rows], rows)


def draw_scene(
    rng: np.random.Generator, digits: Digits
) -> tuple[Image.Image, list[dict], list[int]]:
    """Draw one scene.

    Returns:
        tuple: The picture (224x320, RGB), the digits' visible masks as
        COCO's compressed RLE, and each digit's index in ``digits``.
    """
    color, scene = _background(rng)
    colors, masks, areas, rles, indices = [color], [], [], [], []
    for _ in range(rng.integers(1, MAX_DIGITS + 1)):
        index = int(rng.integers(len(digits.pixels)))
        for _ in range(TRIES):
            glyph = _glyph(rng, digits.pixels[index])
            window = _window(rng, *glyph.shape)
            new = np.zeros((HEIGHT, WIDTH), bool)
            new[window] = glyph >= 128
            visible = [mask & ~new for mask in masks] + [new]
            encoded = _encode(visible)
            if _legible(encoded, [*areas, new.sum()]):
                colors.append(_color(rng, colors))
                _paint(scene[window], glyph, colors[-1])
                masks, rles = visible, encoded
                areas.append(new.sum())
                indices.append(index)
                break
    return Image.fromarray(scene), rles, indices


def _weights(positions: np.ndarray, size: int) -> np.ndarray:
    """Return Catmull-Rom weights for interpolating between samples.

    Args:
        positions (np.ndarray): (P,), in 1 / STEPS of a sample.
        size (int): Number of samples; the outer ones continue outwards.

    Returns:
        np.ndarray: (P, size), integers with the sum UNIT in each row.
    """
    cell, t = np.divmod(positions, STEPS)
    taps = (
        -(t**3) + 2 * t**2 * STEPS - t * STEPS**2,
        3 * t**3 - 5 * t**2 * STEPS + UNIT,
        -3 * t**3 + 4 * t**2 * STEPS + t * STEPS**2,
        t**3 - t**2 * STEPS,
    )
    weights = np.zeros((len(positions), size))
    for offset, tap in enumerate(taps, -1):
        column = np.clip(cell + offset, 0, size - 1)
        weights[np.arange(len(positions)), column] += tap
    return weights


def _background(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a colour, (3,), and a texture around it, (H, W, 3) uint8.

    Two random grids, enlarged, make blotches where they are coarse, grain
    where they are fine and stripes where they are both.
    """
    color = rng.integers(80, 176) + rng.integers(-48, 49, 3)
    layers = []
    for amplitude, channels in ((24, 3), (16, 1)):
        sizes = rng.integers(2, 25, 2)
        grid = rng.integers(-amplitude, amplitude + 1, (channels, *sizes))
        down, across = (
            _weights(
                (2 * np.arange(length) + 1) * size * STEPS // (2 * length)
                - STEPS // 2,
                size,
            )
            for length, size in zip((HEIGHT, WIDTH), sizes, strict=True)
        )
        layers.append((down, np.broadcast_to(grid, (3, *sizes)), across.T))
    scene = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for channel in range(3):
        texture = sum(
            down @ grid[channel] @ across for down, grid, across in layers
        )
        texture = 4 * np.floor(texture / (4 * UNIT**2))  # for smaller files
        scene[..., channel] = np.clip(color[channel] + texture, 0, 255)
    return color, scene


def _glyph(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return a digit's opacity, turned and enlarged, (h, w) uint8."""
    height = rng.integers(MIN_SIZE, MAX_SIZE + 1)  # before it is turned
    angle = math.radians(rng.integers(-MAX_ANGLE, MAX_ANGLE + 1))
    cos, sin = (round(2**16 * f(angle)) for f in (math.cos, math.sin))
    side = height * 4 // 3  # room to turn: cos(25) + sin(25) = 1.33
    x = 2 * np.arange(side) + 1 - side  # half pixels from the centre
    y = x[:, None]
    samples = np.pad(pixels, 2)  # with empty ones around
    last = (len(samples) - 1) * STEPS
    down, across = (
        np.clip(offset * 8 * STEPS // (2**17 * height) + last // 2, 0, last)
        for offset in (cos * y - sin * x, cos * x + sin * y)
    )
    weights = _weights(np.arange(last + 1), len(samples))
    level = np.einsum(
        'ijk,ijk->ij', (weights @ samples)[down], weights[across]
    )
    level = np.floor(level / UNIT**2)
    # an edge of about 1.5 px at every size
    opacity = np.clip(128 + (level - INK) * height // 8, 0, 255)
    rows, columns = (np.flatnonzero(opacity.any(axis)) for axis in (1, 0))
    opacity = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return opacity.astype(np.uint8)


def _window(
    rng: np.random.Generator, height: int, width: int
) -> tuple[slice, slice]:
    """Return a random window of the scene."""
    top = int(rng.integers(HEIGHT - height + 1))
    left = int(rng.integers(WIDTH - width + 1))
    return slice(top, top + height), slice(left, left + width)


def _encode(masks: list[np.ndarray]) -> list[dict]:
    """Return masks, each (H, W) bool, as COCO's compressed RLE."""
    return mask_utils.encode(np.asfortranarray(np.stack(masks, -1), np.uint8))


def _legible(rles: list[dict], areas: list[int]) -> bool:
    """Whether all digits, of so many pixels when uncovered, can be read."""
    if (mask_utils.area(rles) < MIN_VISIBLE * np.array(areas)).any():
        return False
    boxes = mask_utils.toBbox(rles)
    ious = mask_utils.iou(boxes, boxes, [0] * len(boxes))
    return bool(
        (boxes[:, 3] >= MIN_SIZE).all()
        and (boxes[:, 3] <= MAX_SIZE).all()
        and (np.triu(ious, 1) < MAX_IOU).all()
    )


def _color(rng: np.random.Generator, taken: list[np.ndarray]) -> np.ndarray:
    """Return a colour, (3,), that stands out from the ``taken`` ones.

    The first of them is the background's.
    """
    while True:
        color = rng.integers(0, 256, 3)
        contrast = abs(LUMA @ (color - taken[0]))
        if contrast >= 1000 * MIN_CONTRAST and all(
            abs(color - other).max() >= MIN_DISTANCE for other in taken
        ):
            return color


def _paint(canvas: np.ndarray, opacity: np.ndarray, color: np.ndarray) -> None:
    """Blend ``color`` into ``canvas``, (h, w, 3) uint8, in place."""
    alpha = opacity[..., None].astype(int)
    canvas[:] = (canvas * (255 - alpha) + color * alpha + 127) // 255
