"""What is usable of an annotation file."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .entries import Picture


class Object(NamedTuple):
    """An annotation that training takes, or sets aside as it does crowds."""

    id: Hashable
    box: tuple[float, float, float, float]  # x, y, width, height, as written
    label: int  # index in the names of the classes
    picture: Picture
    is_aside: bool  # neither to be found, nor wrong where it is
    area: float  # px²
    mask: Any  # what is usable of it; None: nothing


class Content(NamedTuple):
    """What training gets from an annotation file.

    The N boxes are those that it finds objects in, without crowds.
    """

    pictures: dict[Hashable, Picture]  # by id
    names: tuple[str, ...]  # of the classes
    num_annotations: int
    boxes: np.ndarray  # (N, 4): x, y, width, height in pixels
    labels: np.ndarray  # (N,): index in names
    sizes: np.ndarray  # (N, 2): width and height of the box's image
    objects: Sequence[Object] = ()  # of all pictures, and those set aside
    named: frozenset[Hashable] = frozenset()  # pictures with annotations
    categories: tuple[Hashable, ...] = ()  # ids of the names; None: none
    in_file: tuple[str, ...] = ()  # names of all categories, in its order
