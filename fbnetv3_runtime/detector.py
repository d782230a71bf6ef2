"""From an image to what is found in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from numbers import Real

import numpy as np
from PIL import Image

from .backends import REMEDY, Model, find_backend, load_model, read_content
from .batches import BATCH, Input, group, separate, stack
from .engine import Engine, check_number
from .images import Photo, Picture, Size, read_photo
from .parallel import ahead
from .results import Result, interpret
from .texts import name_of, one_line
from .video import Video

REDUCING_GAP = 2.0  # least times the wanted size that pictures are reduced to


class Detector:
    """A detector in a file that ``tools/export.py`` wrote.

    Threads may share it: every result is that of its own image. Other
    processes get it pickled, by its path or its bytes.

    Args:
        model: Path of the ONNX file, its bytes, or a file that is open.
        backend: 'onnxruntime' or 'openvino'; None: the first of them that is
            installed.
        threads: Threads of the CPU that work at one image; None: all. Where
            there are many images, 1 gives the most of them a second.
        score_thr: Least score of what is returned; None: that of the file,
            below which it gives nothing.
        device: What runs the network: 'cpu'; with ONNX Runtime a provider
            that is installed, such as 'cuda', 'cuda:1', 'tensorrt',
            'coreml', 'xnnpack' or 'directml'; with OpenVINO 'gpu', 'npu' or
            'auto'.
        parallel: How many images are worked at at the same time; others
            wait. None: as many as there are cores for.

    Attributes:
        metadata (dict): What the file says of itself: ``classes`` and so on.
        score_thr (float): Least score of what is returned; 0: all that the
            network gives.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere, the
            device is not there, or another argument is wrong.
        ImportError: The backend is not installed.
    """

    def __init__(
        self,
        model: Model,
        backend: str | None = None,
        threads: int | None = None,
        score_thr: float | None = None,
        device: str = 'cpu',
        parallel: int | None = None,
    ) -> None:
        check_number('threads', threads)
        check_number('parallel', parallel)
        self._model = read_content(model)
        self._name = name_of(
            model if isinstance(model, str | os.PathLike) else self._model
        )
        self._backend = find_backend(backend)
        self._engine = Engine(threads, parallel, str(device))
        self._run, self.metadata = load_model(
            self._model, self._backend, self._engine, self._name
        )
        least = self.metadata['score_thr']
        if score_thr is not None and not (
            isinstance(score_thr, Real) and least <= score_thr <= 1
        ):
            raise ValueError(
                f'score_thr={score_thr!r:.99} is no score that '
                f'{self._name} can be asked for; give a number from '
                f'{least}, with which it was exported, to 1, or leave it out'
            )
        self.score_thr = score_thr or 0  # the network has its own

    def __reduce__(self) -> tuple:
        """Return what makes the same detector in another process."""
        threads, parallel, device = self._engine
        made = self._model, self._backend, threads, None, device, parallel
        return type(self), made, {'score_thr': self.score_thr}

    @property
    def workers(self) -> int:
        """How many threads keep it busy: one more than work, which reads."""
        return self._engine.slots + 1

    def predict(self, image: Picture | Photo) -> Result:
        """Detect the objects in an image.

        Args:
            image: Path, bytes or open file of an image file; a Pillow image
                of any mode; an array (height, width, 3) of uint8, RGB; or
                what :meth:`read` returned. Files and Pillow images are
                turned as their EXIF orientation says (WebP too, unlike
                OpenCV before version 5); boxes and masks are those of the
                turned image.

        Raises:
            ValueError: There is no such image, or the backend fails.
        """
        (result,) = self._detect([self._prepare(image)])
        return result

    def predict_batch(
        self, images: Iterable[Picture], batch_size: int = BATCH
    ) -> Iterator[Result]:
        """Yield the result of each image.

        The next images are read, and where there are cores for that also
        detected in, meanwhile.

        Args:
            images: As :meth:`predict` takes them.
            batch_size: How many the network gets at the same time, if its
                file takes any number.
        """
        check_number('batch_size', batch_size)
        number = self.metadata.get('batch')
        if number is None:
            return ahead(self.predict, images, self.workers)
        inputs = ahead(self._prepare, images, self.workers)
        batches = group(inputs, number or batch_size)
        found = ahead(self._detect, batches, self._engine.slots)
        return chain.from_iterable(found)

    def predict_video(
        self, source: str | os.PathLike | int
    ) -> Iterator[tuple[np.ndarray, Result]]:
        """Yield each frame, (height, width, 3) of uint8, RGB, and its result.

        Args:
            source: Path or URL of a video, or the number of a camera.

        Raises:
            ImportError: OpenCV is not installed.
            ValueError: The video cannot be read; or, after the others were
                yielded, there were frames that could not.
        """
        for _, frame in Video(source):
            yield frame, self.predict(frame)

    def read(self, image: Picture) -> Photo:
        """Return an image as :meth:`predict` reads it.

        A large JPEG is decoded at a fraction of its size, at least twice the
        size of the network's input.

        Raises:
            ValueError: There is no such image.
        """
        brightest = self.metadata.get('brightest')
        return read_photo(image, self.fit, brightest)

    def fit(self, size: Size) -> Size:
        """Return (width, height) in the network's input of such an image."""
        if fixed := self.metadata['size']:
            factor = min(fixed[0] / size[1], fixed[1] / size[0])
        else:
            short, long = sorted(self.metadata['resize']['scale'])
            factor = min(long / max(size), short / min(size))
        # rounded as mmcv does, which refuses a side of no pixel
        return tuple(max(int(s * factor + 0.5), 1) for s in size)

    def resize(
        self, picture: Image.Image, size: Size | None = None
    ) -> tuple[np.ndarray, Size]:
        """Return a picture of mode RGB as the network takes it.

        Args:
            picture: The image, or a smaller version of it.
            size: (width, height) of the image; None: that of the picture.

        Returns:
            tuple: uint8 (height, width, 3), the input without its batch
            axis; and (width, height) of the picture in it, which begins at
            the upper left.
        """
        fit = self.fit(size or picture.size)
        pixels = np.array(
            picture.resize(
                fit, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP
            )
        )
        if fixed := self.metadata['size']:
            color = np.round(self.metadata['mean']).astype(np.uint8)
            inner, pixels = pixels, np.full((*fixed, 3), color)
            pixels[: fit[1], : fit[0]] = inner
        return pixels, fit

    def interpret(
        self, found: dict[str, np.ndarray], size: Size, fit: Size
    ) -> Result:
        """Return what the network found, in pixels of the image.

        Args:
            found: The network's outputs by name.
            size: (width, height) of the image.
            fit: The same in the network's input, from :meth:`resize`.
        """
        return interpret(found, size, fit, self.metadata, self.score_thr)

    def _prepare(self, image: Picture | Photo) -> Input:
        photo = image if isinstance(image, Photo) else self.read(image)
        return Input(*self.resize(photo.picture, photo.size), photo.size)

    def _detect(self, inputs: Sequence[Input]) -> list[Result]:
        """Return the result of each of some images of one input size."""
        batch = self.metadata.get('batch')
        found = self._run_network(stack(inputs, batch))
        try:
            parts = [found]
            if batch is not None:
                limit = self.metadata['max_per_img']
                parts = separate(found, len(inputs), limit)
            return [
                self.interpret(part, one.size, one.fit)
                for part, one in zip(parts, inputs, strict=True)
            ]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{self._name} gives what no detector gives: '
                f'{one_line(error)}; {REMEDY}'
            ) from error

    def _run_network(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        try:
            return self._run(pixels)
        except MemoryError:
            raise
        except Exception as error:  # each backend has its own kinds
            height, width = pixels.shape[1:3]
            raise ValueError(
                f'{self._backend} fails with an input of {width} x {height} '
                f'pixels: {one_line(error)}; free memory, or try the other '
                'backend'
            ) from error
