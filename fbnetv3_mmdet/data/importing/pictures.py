"""Pictures: their sizes, and groups of those that look alike."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ..annotations import Defect
from ..doctor.duplicates import LEAST_SHARE, ROWS, shared
from ..doctor.pictures import (
    ORIENTATION,
    SWAPPED,
    brightest_of,
    dhash,
    forms_of,
)
from ..pictures import BrokenPicture, opened_picture
from .tree import Tree

T = TypeVar('T')

HEADER = 2**18  # bytes, in which nearly all sizes are
DEEP = {'.png', '.tif', '.tiff'}  # what stores 16 bits
# Roboflow's copies of a picture: IMG_1_jpg.rf.<hash>.jpg
COPY = re.compile(r'\.rf\.[0-9A-Za-z]{20,}$')


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of a picture, turned as its camera was.

    Raises:
        BrokenPicture: It is none.
    """
    return _tell(path, _size_of)


def find_dim(tree: Tree, files: Iterable[str]) -> dict[str, int]:
    """Return the greys of 16 bits, where all would be nearly black in 8.

    Args:
        tree: The source.
        files: Of pictures in it.

    Returns:
        dict: The largest value of each such picture, by its file; none
        where another picture uses most of the 16 bits.
    """
    dim = {}
    for file in files:
        path = tree.path(file)
        if path.suffix.lower() not in DEEP:
            continue
        with suppress(BrokenPicture, OSError):
            if not _tell(path, _is_grey_of_many_bits):
                continue
            content = path.read_bytes()
            with opened_picture(content) as image:
                forms = {*forms_of(image, content)}
                if Defect.DEEP in forms:
                    return {}
                if Defect.DARK in forms:
                    dim[file] = brightest_of(image)
    return dim


def _tell(path: Path, tell: Callable[[bytes], T]) -> T:
    """Return what is told of a picture's first bytes, or else of them all."""
    try:
        with open(path, 'rb') as file:
            start = file.read(HEADER)
            try:
                return tell(start)
            except BrokenPicture:
                return tell(start + file.read())
    except OSError as error:
        raise BrokenPicture('file that cannot be read') from error


def _size_of(content: bytes) -> tuple[int, int]:
    with opened_picture(content) as image:
        turn = image.getexif().get(ORIENTATION, 1)
        return image.size[::-1] if turn in SWAPPED else image.size


def _is_grey_of_many_bits(content: bytes) -> bool:
    with opened_picture(content) as image:
        return image.mode.startswith('I')


def group_alike(tree: Tree, files: Sequence[str]) -> list[int]:
    """Return a number for each picture, one for those that look alike.

    Copies that Roboflow made of a picture are alike by their names, turned
    and mirrored ones too.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        signs = pool.map(lambda file: _signs(tree.path(file)), files)
        signs = [*tqdm(signs, 'Comparing', len(files), disable=None)]
    parents = [*range(len(files))]
    first: dict[object, int] = {}
    for i, file in enumerate(files):
        path = PurePosixPath(file)
        if COPY.search(path.stem):
            name = COPY.sub('', path.stem)
            _join(parents, i, first.setdefault(name, i))
    seen = [i for i, sign in enumerate(signs) if sign is not None]
    if seen:
        rows = np.stack([signs[i] for i in seen])
        for start in range(0, len(rows), ROWS):
            alike = shared(rows[start : start + ROWS], rows) >= LEAST_SHARE
            for i, j in zip(*alike.nonzero(), strict=True):
                _join(parents, seen[start + i], seen[j])
    return [_root(parents, i) for i in range(len(files))]


def _signs(path: Path) -> np.ndarray | None:
    try:
        with opened_picture(path.read_bytes()) as image:
            return dhash(image)
    except (BrokenPicture, OSError):
        return None


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        parents[i] = i = parents[parents[i]]
    return i


def _join(parents: list[int], i: int, j: int) -> None:
    parents[_root(parents, i)] = _root(parents, j)
