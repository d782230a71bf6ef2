"""Defects of image files."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..annotations import Defect, Findings, Place
from ..annotations.entries import Picture
from ..annotations.files import ORIENTATION, SWAPPED
from ..pictures import (
    BrokenPicture,
    decode_picture,
    opened_picture,
)

TURNED = range(2, 9)  # EXIF: the picture is turned or mirrored
LIES = (Defect.EXIF_STORED, Defect.WRONG_SIZE)  # the JSON says another size
HASH_SIDE = 16  # gradients a row and rows of a perceptual hash
LEAST_CONTRAST = 8  # grey levels that a picture must span to have one
LEAST_STEP = 2  # grey levels of a gradient that is none of noise
DARK = {Defect.DARK, Defect.DARK_COLOR}
DIM = 2**13  # of 16 bits: so read as 8, 31 of 255 is the brightest
BIG = 25_000_000  # pixels; larger pictures are opened one at a time
GREY = {'1', 'L', 'LA', 'I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N'}

_one_big = threading.Lock()


class Inspection(NamedTuple):
    """What a file turned out to be."""

    faults: tuple[Defect, ...]
    about: str = ''
    digest: bytes | None = None  # of all its bytes
    dhash: np.ndarray | None = None  # of -1, 0 and 1


def inspect_all(
    pictures: Mapping, folder: Path, title: str
) -> dict[str, tuple[Picture, Inspection]]:
    """Open all pictures, several at a time; return what they are, by file.

    Args:
        pictures: Of :class:`Content`; those whose names leave the folder
            are not touched.
        folder: What the names start from.
        title: Of the progress bar.
    """
    named = [picture for picture in pictures.values() if picture.file]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of bombs, of odd EXIF
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            inspected = pool.map(lambda p: inspect(folder / p.file, p), named)
            inspected = [*tqdm(inspected, title, len(named), disable=None)]
    return {p.file: (p, a) for p, a in zip(named, inspected, strict=True)}


def check_pictures(
    inspected: Mapping[str, tuple[Picture, Inspection]], findings: Findings
) -> None:
    """Count what is wrong with pictures that were looked at."""
    for file, (picture, found) in inspected.items():
        for kind in found.faults:
            findings.add(kind, Place(file, picture.id, about=found.about))


def check_files(pictures: Mapping, folder: Path, findings: Findings) -> None:
    """Count empty files, opening none."""
    for picture in pictures.values():
        if picture.file and _is_empty(folder / picture.file):
            findings.add(Defect.EMPTY, Place(picture.file, picture.id))


def inspect(path: Path, picture: Picture) -> Inspection:
    """Open a picture and return what it is.

    Args:
        path: Of its file.
        picture: What the annotation file says of it.
    """
    try:
        content = path.read_bytes() if path.is_file() else b''
    except (OSError, ValueError):  # such as a name that is too long
        content = b''
    if not content:  # what is missing was counted with the names
        return Inspection((Defect.EMPTY,) * _is_empty(path))
    digest = hashlib.sha256(content).digest()
    try:
        with opened_picture(content) as image:
            with _one_big if math.prod(image.size) > BIG else nullcontext():
                forms = [*forms_of(image, content)]
                brightest = brightest_of(image) if DARK & {*forms} else 0
                turn = image.getexif().get(ORIENTATION, 1)  # may decode
                bits = dhash(image)  # raises where OpenCV would print
                seen = decode_picture(content)
    except BrokenPicture as broken:
        return Inspection((broken.kind,), broken.about, digest)
    height, width = seen.shape[:2]
    size_fault = _size_fault((width, height), turn, picture)
    about = f'{width}x{height} px, not {picture.width}x{picture.height}'
    if size_fault not in LIES:
        about = f'values to {brightest}' if brightest else ''
    return Inspection(
        (*filter(None, [size_fault]), *forms),
        about,
        digest,
        bits,
    )


def _is_empty(path: Path) -> bool:
    try:  # a folder and a pipe are missing, not empty
        return path.is_file() and not path.stat().st_size
    except (OSError, ValueError):
        return False


def _size_fault(
    seen: tuple[int, int], turn: int, picture: Picture
) -> Defect | None:
    """Compare the size that training sees with that of the JSON."""
    said = (picture.width, picture.height)
    if None not in said and seen != said:
        is_stored = turn in SWAPPED and seen == said[::-1]
        return Defect.EXIF_STORED if is_stored else Defect.WRONG_SIZE
    if turn in TURNED:
        tells = turn in SWAPPED and seen[0] != seen[1]
        return Defect.EXIF_FITS if tells else Defect.EXIF_UNCLEAR
    return None


def forms_of(image: Image.Image, content: bytes) -> Iterator[Defect]:
    """Yield in what unusual form a picture is stored."""
    if min(image.size) == 1:
        yield Defect.ONE_PIXEL
    if image.mode in GREY:
        yield Defect.GREY
    if image.mode == 'CMYK':
        yield Defect.CMYK
    if image.mode in ('P', 'PA'):
        yield Defect.PALETTE
    if 'A' in image.getbands() or 'transparency' in image.info:
        yield Defect.ALPHA
    # Pillow reads colours of 16 bit as 8 bit; the header of a PNG tells
    is_png16 = image.format == 'PNG' and content[24] == 16
    if is_png16 or '16' in image.mode or ';16' in str(image.tile):
        dark = Defect.DARK if image.mode.startswith('I') else Defect.DARK_COLOR
        yield dark if 0 < brightest_of(image) < DIM else Defect.DEEP


def brightest_of(image: Image.Image) -> int:
    """Return the largest value of a picture of 16 bits.

    Of a coloured one Pillow reads the upper 8; it is the largest they allow.
    """
    if image.mode.startswith('I'):
        return image.getextrema()[1]
    top = max(high for _, high in image.convert('RGB').getextrema())
    return top and 256 * top + 255


def dhash(image: Image.Image) -> np.ndarray | None:
    """Return signs of brightness gradients, None of a flat picture.

    They are 0 where the picture is plain, which all plain pictures share.

    Decodes the whole picture, which finds out whether it is complete.
    """
    image.draft('L', (8 * HASH_SIDE, 8 * HASH_SIDE))
    small = image.convert('L').resize((HASH_SIDE + 1, HASH_SIDE), Image.BOX)
    grey = np.asarray(small, np.int16)
    if np.ptp(grey) < LEAST_CONTRAST:
        return None
    steps = np.diff(grey).ravel()
    return np.sign(steps * (abs(steps) >= LEAST_STEP)).astype(np.float32)
