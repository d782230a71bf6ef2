"""Images as the network takes them: upright, RGB, as OpenCV reads them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .texts import name_of, one_line

Picture = Image.Image | np.ndarray | str | os.PathLike | bytes | BinaryIO
Size = tuple[int, int]  # (width, height) in pixels

JPEGS = 'JPEG', 'MPO'  # of several pictures the first
ORIENTATION = 0x0112  # EXIF tag
SIDEWAYS = range(5, 9)  # its values for a picture that lies on its side
SUFFIXES = '.bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp'.split()


class Photo(NamedTuple):
    """An image that has been read.

    Attributes:
        picture: Upright, mode RGB; it may be smaller than the image.
        size: (width, height) of the image, upright.
        path: Of its file; None: it has none.
    """

    picture: Image.Image
    size: Size
    path: str | None = None


def read_image(image: Picture) -> Image.Image:
    """Return an image upright, in mode RGB, with the values OpenCV reads.

    Args:
        image: As for :meth:`Detector.predict`.

    Raises:
        ValueError: There is no such image, it is damaged, or larger than
            Pillow allows.
    """
    return read_photo(image).picture


def read_photo(
    image: Picture,
    wanted: Callable[[Size], Size] | None = None,
    brightest: int | None = None,
) -> Photo:
    """Return an image, of a JPEG file perhaps a smaller version.

    A JPEG of twice the wanted size or more is decoded at 1/2, 1/4 or 1/8, so
    that it keeps at least twice the wanted size; that takes a fraction of
    the time.

    Args:
        image: As for :meth:`Detector.predict`.
        wanted: Gives for an image's size that to which it will be resized;
            None: all its pixels are wanted.
        brightest: Value of greys of 16 bits that becomes white, such as 4095
            of a camera of 12 bits; None: 65535.

    Raises:
        ValueError: As for :func:`read_image`.
    """
    if isinstance(image, np.ndarray):
        picture = _from_array(image)
        return Photo(picture, picture.size)
    source = io.BytesIO(image) if isinstance(image, bytes) else image
    is_image = isinstance(source, Image.Image)
    if not (is_image or _is_path(source) or hasattr(source, 'read')):
        raise ValueError(
            f'an image of type {type(image).__name__} is no picture; give a '
            'path, bytes, a file, a Pillow image, or an array (height, '
            'width, 3) of uint8, RGB'
        )
    try:
        if is_image:
            picture = to_rgb(source, brightest)
            return Photo(picture, picture.size)
        with Image.open(source) as file:
            size = _reduce(file, wanted)
            picture = to_rgb(file, brightest)
            path = os.fspath(image) if _is_path(image) else None
            return Photo(picture, size or picture.size, path)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything
        raise ValueError(
            f'{name_of(image)} is no readable image: {_why(error)}'
        ) from error


def _why(error: Exception) -> str:
    """Say why an image could not be read, and what helps where we know."""
    if isinstance(error, UnidentifiedImageError):  # names our buffer
        return 'it has none of the formats that Pillow reads'
    if isinstance(error, Image.DecompressionBombError):
        return (
            f'{one_line(error)}; make it smaller, or set '
            'PIL.Image.MAX_IMAGE_PIXELS to half the pixels that you allow'
        )
    return one_line(error)


def _is_path(image: object) -> bool:
    return isinstance(image, str | os.PathLike)


def _from_array(image: np.ndarray) -> Image.Image:
    if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
        raise ValueError(
            f'an array {image.shape} of {image.dtype!s:.99} is no '
            'picture; give (height, width, 3) of uint8, RGB'
        )
    return Image.fromarray(np.ascontiguousarray(image))


def _reduce(
    file: Image.Image, wanted: Callable[[Size], Size] | None
) -> Size | None:
    """Have a JPEG decoded small; return its own size, upright."""
    if wanted is None or file.format not in JPEGS or not all(file.size):
        return None
    turn = -1 if file.getexif().get(ORIENTATION) in SIDEWAYS else 1
    size = file.size[::turn]
    width, height = wanted(size)[::turn]
    file.draft(None, (2 * width, 2 * height))
    return size


def to_rgb(image: Image.Image, brightest: int | None = None) -> Image.Image:
    """Return an opened image upright, in mode RGB.

    Args:
        image: Of any mode.
        brightest: As :func:`read_photo` takes it.

    Raises:
        ValueError: It has no pixels, or values of no known range.
    """
    image.load()
    if not all(image.size):
        raise ValueError('it has no pixels')
    if image.mode == 'F':
        raise ValueError('its values are fractions, of no known range')
    if image.mode == 'I' and image.format not in ('PNG', 'PPM'):
        raise ValueError('its values are of 32 bits, of no known range')
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I'):  # 16 bits
        values = np.array(image)
        if brightest is None:
            values = values >> 8  # as OpenCV does
        else:
            values = np.round(values * (255 / brightest))
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return image if image.mode == 'RGB' else image.convert('RGB')
