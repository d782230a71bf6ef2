"""Several images for a network that takes them at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .images import Size

BATCH = 8  # images of a batch, where a file takes any number


class Input(NamedTuple):
    """An image as a network takes it.

    Attributes:
        pixels: uint8 (height, width, 3).
        fit: (width, height) of the image in it.
        size: (width, height) of the image itself.
    """

    pixels: np.ndarray
    fit: Size
    size: Size


def group(inputs: Iterable[Input], number: int) -> Iterator[list[Input]]:
    """Yield inputs in lists, each of one height and width.

    Args:
        inputs: In their order, which is kept.
        number: The most of a list.
    """
    batch: list[Input] = []
    for one in inputs:
        alike = batch and batch[0].pixels.shape == one.pixels.shape
        if batch and (not alike or len(batch) == number):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def stack(inputs: Sequence[Input], number: int | None) -> np.ndarray:
    """Return inputs as one array, (N, height, width, 3).

    Args:
        inputs: Of one height and width.
        number: N, which black images fill up; 0 or None: as many as inputs.
    """
    pixels = np.stack([one.pixels for one in inputs])
    if not number:
        return pixels
    missing = number - len(inputs)
    return np.pad(pixels, ((0, missing), (0, 0), (0, 0), (0, 0)))


def separate(
    found: dict[str, np.ndarray], number: int, limit: int
) -> list[dict[str, np.ndarray]]:
    """Return what a network found in each image, best first.

    Args:
        found: The outputs by name, with ``images``, where of each image the
            best come first.
        number: Of images.
        limit: The most of an image.
    """
    images = found['images']
    indices = [np.flatnonzero(images == i)[:limit] for i in range(number)]
    return [
        {name: values[index] for name, values in found.items()}
        for index in indices
    ]
