"""What is a whole picture, and which way round it belongs."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image, UnidentifiedImageError

from fbnetv3_runtime.images import to_rgb

from .annotations.defects import Defect
from .annotations.files import FORMATS

MAX_PIXELS = 178_956_970  # Pillow opens no larger picture: 0.5 GB decoded
LONGEST = 500  # times its width or height: resizing leaves no more

_JPEG_END = b'\xff\xd9'
_PNG_END = b'IEND\xaeB`\x82'


class BrokenPicture(ValueError):
    """A file that holds no whole picture, or another than the JSON says.

    Args:
        kind (Defect): What is wrong, as the data doctor calls it.
        about (str): What was found.
        file (str): Its path, where it is known.
    """

    def __init__(self, kind: Defect, about: str = '', file: str = '') -> None:
        super().__init__(f'{kind} ({about})' if about else kind)
        self.kind = kind
        self.about = about
        self.file = file


class LoadWholePicture(LoadImageFromFile):
    """MMDetection's loading of images, refusing what is no whole picture.

    Whole pictures give the same pixels. One whose camera was turned is turned
    as EXIF says, unless only its stored size is the one of the JSON.

    Args:
        loader (LoadImageFromFile): In whose place this is, and whose
            arguments it takes over.
        max_pixels (int): Most pixels of a picture that is decoded.
        brightest (int, optional): As :func:`decode_picture` takes it.
    """

    def __init__(
        self,
        loader: LoadImageFromFile,
        max_pixels: int,
        brightest: int | None = None,
    ) -> None:
        self.__dict__.update(vars(loader))
        self.max_pixels = max_pixels
        self.brightest = brightest

    def transform(self, results: dict) -> dict:
        """Load an image.

        Args:
            results (dict): ``img_path``, and ``width`` and ``height`` in
                pixels where they are known.

        Raises:
            BrokenPicture: It is not whole, too large or of another size.
        """
        path = results['img_path']
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            about = getattr(error, 'strerror', None) or str(error)
            raise BrokenPicture(Defect.MISSING, about, path) from error
        size = results.get('width'), results.get('height')
        try:
            image = decode_picture(
                content,
                size,
                self.max_pixels,
                self.color_type,
                self.imdecode_backend,
                self.brightest,
            )
        except BrokenPicture as error:
            raise BrokenPicture(error.kind, error.about, path) from error
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


def decode_picture(
    content: bytes,
    size: tuple[Any, Any] = (None, None),
    max_pixels: int = MAX_PIXELS,
    flag: str = 'color',
    backend: str = 'cv2',
    brightest: int | None = None,
) -> np.ndarray:
    """Return the pixels of a whole picture.

    Args:
        content: Of its file.
        size: Its width and height; None: any.
        max_pixels: Most that are decoded; at most :data:`MAX_PIXELS`.
        flag: Of ``mmcv.imfrombytes``, which decodes it.
        backend: Of that, too.
        brightest: Value of greys of 16 bits that becomes white; None: 65535.

    Returns:
        As ``mmcv.imfrombytes`` does, (height, width, 3) uint8, BGR, for
        ``flag='color'``.

    Raises:
        BrokenPicture: It is not whole, too large, or of another size
            whichever way it is turned.
    """
    with opened_picture(content, max_pixels) as image:
        _check_end(image, content)
        for each in _turned(content, flag, backend, image, brightest):
            if each is None:
                raise BrokenPicture(
                    Defect.TRUNCATED, 'OpenCV cannot decode it'
                )
            if None in size or each.shape[1::-1] == size:
                return each
    width, height = image.size
    raise BrokenPicture(
        Defect.WRONG_SIZE, f'{width}x{height} px, not {size[0]}x{size[1]}'
    )


@contextmanager
def opened_picture(
    content: bytes, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open a picture, of which only the header is read.

    Args:
        content: Of its file.
        max_pixels: Most that it may have; at most :data:`MAX_PIXELS`.

    Raises:
        BrokenPicture: Its header is broken or says that it is too large; or
            something failed inside the context, while it was decoded.
    """
    if not content:
        raise BrokenPicture(Defect.EMPTY)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            about = f'{image.width}x{image.height} px'
            if math.prod(image.size) > max_pixels:
                raise BrokenPicture(Defect.ENORMOUS, about)
            if max(image.size) > LONGEST * min(image.size):
                raise BrokenPicture(Defect.TOO_THIN, about)
            yield image
    except (BrokenPicture, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise BrokenPicture(Defect.ENORMOUS) from error
    except UnidentifiedImageError as error:
        raise BrokenPicture(Defect.NO_PICTURE) from error
    except Exception as error:  # decoders raise anything on broken files
        about = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise BrokenPicture(Defect.TRUNCATED, about) from error


def _check_end(image: Image.Image, content: bytes) -> None:
    """Refuse a file that was cut, as not all of OpenCV's versions do.

    Some fill what is missing with grey. None does so with WebP.
    """
    if image.format in ('JPEG', 'MPO'):
        if content.rfind(_JPEG_END, _scan_of(content)) < 0:
            raise BrokenPicture(Defect.TRUNCATED, 'its end is missing')
    elif image.format == 'PNG' and content.endswith(_PNG_END):
        return  # hardly one that was cut
    elif image.format != 'WEBP':
        image.load()


def _scan_of(content: bytes) -> int:
    """Return where in a JPEG file the segments of its header end.

    In one of them may be a small JPEG file, as a preview.
    """
    place = 2
    while content[place : place + 1] == b'\xff':
        mark, size = content[place + 1], content[place + 2 : place + 4]
        if mark == 0xDA:
            break
        # before a mark there may be any number of 0xFF
        place += 1 if mark == 0xFF else 2 + int.from_bytes(size, 'big')
    return place


def _turned(
    content: bytes,
    flag: str,
    backend: str,
    image: Image.Image,
    brightest: int | None,
) -> Iterator[np.ndarray]:
    """Yield a picture's pixels: as is usual, as stored, as shown."""
    if brightest and image.mode.startswith('I') and flag == 'color':
        yield np.asarray(to_rgb(image, brightest))[..., ::-1].copy()
        return
    yield mmcv.imfrombytes(content, flag, backend=backend)
    if flag in ('color', 'grayscale'):
        stored = f'{flag}_ignore_orientation'
        yield mmcv.imfrombytes(content, stored, backend='cv2')
        # not all of OpenCV's versions turn WebP
        yield mmcv.imfrombytes(content, flag, backend='pillow')
