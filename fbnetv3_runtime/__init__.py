"""Run a detector that ``tools/export.py`` wrote, without PyTorch.

This folder needs numpy, Pillow (10.1 or later to draw) and onnxruntime or
openvino, and can be copied to a device:

    from fbnetv3_runtime import Detector

    found = Detector('model.onnx').predict('photo.jpg')
    for box, score, name in zip(found.boxes, found.scores, found.names):
        print(box, score, name)

``python -m fbnetv3_runtime --help`` tells of the command. A detector may be
used by several threads at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import NamedTuple

import numpy as np
from PIL import Image

from .backends import BACKENDS, MAX_SIDE, REMEDY, load_model, read_metadata
from .drawing import draw
from .images import SUFFIXES, Picture, read_image, read_video
from .masks import encode_mask, paste_masks
from .texts import name_of, one_line

__all__ = [
    'BACKENDS',
    'Detector',
    'MAX_SIDE',
    'Result',
    'SUFFIXES',
    'draw',
    'encode_mask',
    'paste_masks',
    'read_image',
    'read_metadata',
]

MAX_THREADS = 256


class Result(NamedTuple):
    """What was found in one image, the best first.

    Attributes:
        boxes: float32 (N, 4): x1, y1, x2, y2 in pixels of the image.
        scores: float32 (N,), 0 to 1.
        labels: int64 (N,): numbers of the classes, from 0.
        names: The N names of these classes.
        masks: bool (N, height, width); None from a model without masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]
    masks: np.ndarray | None


class Detector:
    """A detector in a file that ``tools/export.py`` wrote.

    Args:
        model: Path of the ONNX file.
        backend: 'onnxruntime' or 'openvino'; None: the first of them that is
            installed.
        threads: Threads of the CPU to use; None: the backend's choice.
        score_thr: Least score of what is returned; None: that of the file,
            below which it gives nothing.

    Attributes:
        metadata (dict): What the file says of itself: ``classes`` and so on.
        score_thr (float): Least score of what is returned; 0: all that the
            network gives.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere, or
            another argument is wrong.
        ImportError: The backend is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        backend: str | None = None,
        threads: int | None = None,
        score_thr: float | None = None,
    ) -> None:
        if threads is not None and not (
            type(threads) is int and 0 < threads <= MAX_THREADS
        ):
            raise ValueError(
                f'threads={threads!r:.99} is no number of threads; give 1 to '
                f"{MAX_THREADS}, or leave it out for the backend's choice"
            )
        self._run, self.metadata = load_model(model, backend, threads)
        self._model = os.fspath(model)
        least = self.metadata['score_thr']
        if score_thr is not None and not (
            isinstance(score_thr, Real) and least <= score_thr <= 1
        ):
            raise ValueError(
                f'score_thr={score_thr!r:.99} is no score that '
                f'{name_of(model)} can be asked for; give a number from '
                f'{least}, with which it was exported, to 1, or leave it out'
            )
        self.score_thr = score_thr or 0  # the network has its own

    def predict(self, image: Picture) -> Result:
        """Detect the objects in an image.

        Args:
            image: Path of an image file; a Pillow image of any mode; or an
                array (height, width, 3) of uint8, RGB. Files and Pillow
                images are turned as their EXIF orientation says (WebP too,
                unlike OpenCV before version 5); boxes and masks are those
                of the turned image.

        Raises:
            ValueError: There is no such image, or the model does not run.
        """
        picture = read_image(image)
        pixels, fit = self.resize(picture)
        try:
            found = self._run(pixels[None])
            return self.interpret(found, picture.size, fit)
        except MemoryError:
            raise
        except Exception as error:  # each backend has its own kinds
            raise ValueError(
                f'{name_of(self._model)} cannot be run: {one_line(error)}; '
                f'{REMEDY}'
            ) from error

    def predict_batch(self, images: Iterable[Picture]) -> Iterator[Result]:
        """Yield the result of each image, read when its turn comes."""
        return map(self.predict, images)

    def predict_video(
        self, source: str | os.PathLike | int
    ) -> Iterator[tuple[np.ndarray, Result]]:
        """Yield each frame, (height, width, 3) of uint8, RGB, and its result.

        Args:
            source: Path or URL of a video, or the number of a camera.

        Raises:
            ImportError: OpenCV is not installed.
            ValueError: The video cannot be read.
        """
        for frame in read_video(source):
            yield frame, self.predict(frame)

    def resize(self, picture: Image.Image) -> tuple[np.ndarray, tuple]:
        """Return a picture of mode RGB as the network takes it.

        Returns:
            tuple: uint8 (height, width, 3), the input without its batch
            axis; and (width, height) of the picture in it, which begins at
            the upper left.
        """
        fixed = self.metadata['size']
        if fixed:
            factor = min(fixed[0] / picture.height, fixed[1] / picture.width)
        else:
            short, long = sorted(self.metadata['resize']['scale'])
            factor = min(long / max(picture.size), short / min(picture.size))
        # rounded as mmcv does, which refuses a side of no pixel
        fit = tuple(max(int(s * factor + 0.5), 1) for s in picture.size)
        pixels = np.array(picture.resize(fit, Image.Resampling.BILINEAR))
        if fixed:
            color = np.round(self.metadata['mean']).astype(np.uint8)
            inner, pixels = pixels, np.full((*fixed, 3), color)
            pixels[: fit[1], : fit[0]] = inner
        return pixels, fit

    def interpret(
        self,
        found: dict[str, np.ndarray],
        size: tuple[int, int],
        fit: tuple[int, int],
    ) -> Result:
        """Return what the network found, in pixels of the picture.

        Args:
            found: The network's outputs by name.
            size: (width, height) of the picture.
            fit: The same in the network's input, from :meth:`resize`.
        """
        scores = found['scores']
        # an input of fixed size has a margin beside the picture
        inside = (found['boxes'][:, :2] <= fit).all(1)
        keep = inside & (scores >= self.score_thr)
        corner = np.array(size * 2, np.float32)
        factors = (np.array(fit * 2) / corner).astype(np.float32)
        boxes = (found['boxes'][keep] / factors).clip(0, corner)
        labels = found['labels'][keep]
        classes = dict(enumerate(self.metadata['classes']))
        names = [classes.get(i, f'class {i}') for i in labels.tolist()]
        masks = None
        if 'masks' in found:
            threshold = self.metadata['mask_thr']
            masks = paste_masks(found['masks'][keep], boxes, size, threshold)
        return Result(boxes, scores[keep], labels, names, masks)
