"""Images as the network takes them: upright, RGB, as OpenCV reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from .texts import name_of, one_line

Picture = Image.Image | np.ndarray | str | os.PathLike

ORIENTATION = 0x0112  # EXIF tag
SUFFIXES = '.bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp'.split()


def read_image(image: Picture) -> Image.Image:
    """Return an image upright, in mode RGB, with the values OpenCV reads.

    Args:
        image: As for :meth:`Detector.predict`.

    Raises:
        ValueError: There is no such image, it is damaged, or larger than
            Pillow allows.
    """
    if isinstance(image, np.ndarray):
        if (
            image.dtype != np.uint8
            or image.shape[2:] != (3,)
            or not image.size
        ):
            raise ValueError(
                f'an array {image.shape} of {image.dtype!s:.99} is no '
                'picture; give (height, width, 3) of uint8, RGB'
            )
        return Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image | str | os.PathLike):
        raise ValueError(
            f'an image of type {type(image).__name__} is no picture; give a '
            'path, a Pillow image, or an array (height, width, 3) of uint8, '
            'RGB'
        )
    try:
        if isinstance(image, Image.Image):
            return _to_rgb(image)
        with Image.open(image) as file:
            return _to_rgb(file)
    except Exception as error:  # decoders raise anything
        raise ValueError(
            f'{name_of(image)} is no readable image: {one_line(error)}'
        ) from error


def read_video(source: str | os.PathLike | int) -> Iterator[np.ndarray]:
    """Yield the frames of a video, (height, width, 3) of uint8, RGB.

    Args:
        source: Path or URL of a video, or the number of a camera.

    Raises:
        ImportError: OpenCV is not installed.
        ValueError: The video cannot be read.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            'videos and cameras need OpenCV: '
            'pip install opencv-python-headless'
        ) from error
    is_camera = isinstance(source, int)
    capture = cv2.VideoCapture(source if is_camera else os.fspath(source))
    read, frame = capture.read()
    if not read:
        raise ValueError(
            f'{source} is no readable video or camera; give the path of '
            'a video file, or the number of a camera, from 0'
        )
    while read:
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        read, frame = capture.read()


def _to_rgb(image: Image.Image) -> Image.Image:
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
        high = (np.array(image) >> 8).clip(0, 255)
        image = Image.fromarray(high.astype(np.uint8))
    return image if image.mode == 'RGB' else image.convert('RGB')
