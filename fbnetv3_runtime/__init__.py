"""Run a detector that ``tools/export.py`` wrote, without PyTorch.

This file needs numpy, Pillow (10.1 or later to draw) and onnxruntime or
openvino, and can be copied to a device as ``fbnetv3_runtime.py``:

    from fbnetv3_runtime import Detector

    found = Detector('model.onnx').predict('photo.jpg')
    for box, score, name in zip(found.boxes, found.scores, found.names):
        print(box, score, name)

As a command it writes pictures of what it finds (--out-dir), and JSON
(--json), else a table: a list with an entry an image, of ``file``,
``picture`` (its path in the output folder), ``frame`` (of a video, from 1),
``width``, ``height`` and ``detections``, best first: ``box`` ([x1, y1, x2,
y2] in pixels), ``score``, ``label``, ``class`` and, from a model that has
them, ``mask`` (COCO's compressed RLE). Where images could not be read, or
pictures written, the others are done, and the status is 2.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import json
import math
import os
import stat
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from colorsys import hsv_to_rgb
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

Picture = Image.Image | np.ndarray | str | os.PathLike
Run = Callable[[np.ndarray], dict[str, np.ndarray]]

FORMAT = 1  # of the metadata
MAX_SIDE = 8192  # px, of a network's input
MAX_FIELDS = 100_000  # of a protobuf message
MAX_METADATA = 1 << 24  # bytes
MAX_THREADS = 256
MAX_JPEG_SIDE = 65_500  # px
DISK_ERRORS = errno.ENOSPC, errno.EDQUOT, errno.EROFS  # meet all files
ORIENTATION = 0x0112  # EXIF tag
SUFFIXES = '.bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp'.split()
SCORE_THR = 0.3  # of the command
MASK_OPACITY = 0.45
LUMA = 0.299, 0.587, 0.114  # ITU-R BT.601
REMEDY = 'give a file that tools/export.py wrote; if damaged, copy it again'


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
        self.metadata = read_metadata(model)
        self._model = os.fspath(model)
        least = self.metadata['score_thr']
        if score_thr is not None and not (
            isinstance(score_thr, Real) and least <= score_thr <= 1
        ):
            raise ValueError(
                f'score_thr={score_thr!r:.99} is no score that '
                f'{_name(model)} can be asked for; give a number from '
                f'{least}, with which it was exported, to 1, or leave it out'
            )
        self._score_thr = score_thr or 0
        load = _find_backend(backend)
        with self._one_line_errors('loaded'):
            self._run = load(self._model, threads)

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
        with self._one_line_errors('run'):
            return self.interpret(self._run(pixels[None]), picture.size, fit)

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
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            yield frame, self.predict(frame)
            read, frame = capture.read()

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
        keep = inside & (scores >= self._score_thr)
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

    @contextmanager
    def _one_line_errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each backend has its own kinds
            raise ValueError(
                f'{_name(self._model)} cannot be {done}: {_one_line(error)}; '
                f'{REMEDY}'
            ) from error


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
            f'{_name(image)} is no readable image: {_one_line(error)}'
        ) from error


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


def read_metadata(model: str | os.PathLike) -> dict:
    """Return what an exported file says of itself, without its weights.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere.
    """
    if not isinstance(model, str | os.PathLike):
        raise ValueError(
            f'a model of type {type(model).__name__} is no path; {REMEDY}'
        )
    try:
        with open(model, 'rb') as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(0)
            # ModelProto.metadata_props, of StringStringEntryProtos
            for _, entry in _read_fields(file, end, {14}):
                pair = _read_fields(io.BytesIO(entry), len(entry), {1, 2})
                key_value = dict(pair)
                if key_value.get(1) == b'fbnetv3':
                    return _check_metadata(json.loads(key_value.get(2, b'')))
        raise ValueError('it has no metadata of the name fbnetv3')
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f'{_name(model)} is no exported FBNetV3 detector: '
            f'{_one_line(error)}; {REMEDY}'
        ) from error


def _read_fields(
    file: BinaryIO, end: int, wanted: set[int]
) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of fields of a protobuf message.

    The others are passed over, whatever their size.
    """
    for _ in range(MAX_FIELDS):
        if file.tell() == end:
            return
        number, kind = divmod(_read_varint(file), 8)
        if number == 0 or kind not in (0, 1, 2, 5):
            break
        size = {1: 8, 5: 4}[kind] if kind in (1, 5) else _read_varint(file)
        if kind == 0:  # the number itself
            continue
        if size > end - file.tell():
            raise ValueError('it is cut off, damaged or no ONNX file')
        if kind == 2 and number in wanted and size <= MAX_METADATA:
            yield number, file.read(size)
        else:
            file.seek(size, os.SEEK_CUR)
    raise ValueError('it is damaged or no ONNX file')


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = int.from_bytes(file.read(1) or b'\x80', 'little')
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError('it is damaged or no ONNX file')


def _check_metadata(metadata: dict) -> dict:
    """Return metadata that has what this module reads."""
    number = metadata.get('format') if isinstance(metadata, dict) else None
    if number != FORMAT:
        raise ValueError(
            f'its metadata has format {number!r}, and this fbnetv3_runtime '
            f'reads {FORMAT}'
        )
    try:
        resize, size = metadata['resize'], metadata['size'] or [1, 1]
        sides = [*resize['scale'], *size]
        right = (
            type(metadata['classes']) is list
            and {type(name) for name in metadata['classes']} == {str}
            and resize['keep_ratio'] is True
            and [len(resize['scale']), len(size)] == [2, 2]
            and all(type(s) is int and 0 < s <= MAX_SIDE for s in sides)
            and len(metadata['mean']) == 3
            and all(0 <= value <= 255 for value in metadata['mean'])
            and 0 <= (metadata['mask_thr'] or 0) <= 1
            and metadata['score_thr'] <= 1
        )
    except (KeyError, TypeError):
        right = False
    if not right:
        raise ValueError('its metadata is damaged')
    return metadata


def _load_onnxruntime(model: str, threads: int | None) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # errors are raised, too
    # else the threads, waiting for another image, slow others' down
    options.add_session_config_entry('session.force_spinning_stop', '1')
    session = onnxruntime.InferenceSession(
        model, options, providers=['CPUExecutionProvider']
    )
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(
        zip(names, session.run(names, {'image': image}), strict=True)
    )


def _load_openvino(model: str, threads: int | None) -> Run:
    # without a hint some machines calculate with 16 bits
    config = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': 'f32'}
    if threads:
        config['INFERENCE_NUM_THREADS'] = threads
    compiled = _openvino_core().compile_model(model, 'CPU', config)
    names = [output.any_name for output in compiled.outputs]
    return lambda image: dict(
        zip(names, compiled({'image': image}).values(), strict=True)
    )


@cache
def _openvino_core() -> Any:
    """Return the core of this process, which lives as long.

    A core gives signal handlers a stack. Where two go in the order they came,
    the second restores the freed stack of the first, and the next signal with
    a handler, such as Ctrl-C, ends the process (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


BACKENDS = {'onnxruntime': _load_onnxruntime, 'openvino': _load_openvino}


def _find_backend(name: str | None) -> Callable[[str, int | None], Run]:
    """Return what loads a model into a backend that is installed."""
    if name not in (None, *BACKENDS):
        raise ValueError(
            f'backend={name!r} is unknown; choose one of {[*BACKENDS]}'
        )
    names = [name] if name else [*BACKENDS]
    for candidate in names:
        with suppress(ImportError):
            importlib.import_module(candidate)
            return BACKENDS[candidate]
    raise ImportError(
        f'{" or ".join(names)} is missing: pip install {names[0]}'
    )


def paste_masks(
    masks: np.ndarray,
    boxes: np.ndarray,
    size: tuple[int, int],
    threshold: float,
) -> np.ndarray:
    """Return objects' masks, bool (N, height, width), from those of boxes.

    Args:
        masks: float32 (N, m, m): probabilities of the cells of each box.
        boxes: float32 (N, 4): x1, y1, x2, y2 in pixels of the image.
        size: (width, height) of the image.
        threshold: Least probability of a pixel of a mask.

    Source: MMDetection's ``FCNMaskHead``; its bilinear sampling is done one
    axis after the other.
    """
    pasted = np.zeros((len(boxes), *size[::-1]), bool)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        rows, mask = _resample(mask, box[1], box[3], len(canvas))
        columns, mask = _resample(mask.T, box[0], box[2], canvas.shape[1])
        canvas[rows, columns] = mask.T >= threshold
    return pasted


def _resample(
    cells: np.ndarray, low: np.float32, high: np.float32, length: int
) -> tuple[slice, np.ndarray]:
    """Interpolate (m, k) cells, linearly in m, at the centres of pixels.

    The cells fill a box from ``low`` to ``high`` of an image of ``length``
    pixels, and are zero beyond it. Returns the pixels near the box, and
    their values.
    """
    pixels = slice(max(int(low) - 1, 0), min(math.ceil(high) + 1, length))
    centres = np.arange(pixels.start, pixels.stop, dtype=np.float32) + 0.5
    with np.errstate(all='ignore'):
        places = (centres - low) / (high - low) * 2 - 1
        places[~np.isfinite(places)] = 0  # of a box without extent
        places = ((places + 1) * len(cells) - 1) / 2
    before = np.floor(places)
    share = (places - before)[:, None]
    index = (before + [[1], [2]]).clip(0, len(cells) + 1).astype(int)
    left, right = np.pad(cells, ((1, 1), (0, 0)))[index]
    return pixels, left * (1 - share) + right * share


def draw(picture: Image.Image, found: Result) -> Image.Image:
    """Return a copy of a picture, mode RGB, that shows what was found."""
    copy = picture.copy()
    font = ImageFont.load_default(max(10, round(0.8 * max(copy.size) ** 0.5)))
    # golden angles: neighbours differ
    colors = [
        tuple(round(255 * v) for v in hsv_to_rgb(0.618 * i % 1, 0.75, 0.95))
        for i in found.labels.tolist()
    ]
    if found.masks is not None:
        for mask, color in zip(found.masks, colors, strict=True):
            opacity = Image.fromarray(mask * np.uint8(255 * MASK_OPACITY))
            copy.paste(color, mask=opacity)
    parts = (found.boxes.tolist(), found.names, found.scores, colors)
    # the best come first; drawn last, they lie on top
    for box, name, score, color in reversed([*zip(*parts, strict=True)]):
        text = f'{" ".join(name.split())}: {score:.2f}'
        _frame(copy, box, text, color, font)
    return copy


def _frame(
    picture: Image.Image,
    box: Sequence[float],
    text: str,
    color: tuple[int, int, int],
    font: ImageFont.FreeTypeFont,
) -> None:
    """Draw a box with a dark rim, and its text above, or else inside."""
    pen = ImageDraw.Draw(picture)
    line = max(2, round(font.size) // 8)
    x1, y1, x2, y2 = box
    pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, 'black', line + 2)
    pen.rectangle(box, None, color, line)
    height = 1.3 * font.size
    width = pen.textlength(text, font) + height / 2.6
    left = min(max(x1, 0), picture.width - width)
    top = y1 - height if y1 >= height else y1
    pen.rectangle((left, top, left + width, top + height), color)
    ink = 'black' if np.dot(LUMA, color) > 128 else 'white'
    pen.text((left + width / 2, top + height / 2), text, ink, font, 'mm')


def encode_mask(mask: np.ndarray) -> dict:
    """Return a mask, bool (height, width), as COCO's compressed RLE."""
    flat = mask.T.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    runs = np.diff(starts, prepend=0, append=flat.size)  # outside, inside, ...
    runs[3:] -= runs[1:-2]
    text = []
    for run in runs.tolist():
        more = True
        while more:
            bits, run = run & 31, run >> 5
            more = run != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return {'size': [*mask.shape], 'counts': ''.join(text)}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = _parse(argv)
    warnings.simplefilter('ignore')  # decoders' remarks
    warnings.simplefilter('error', Image.DecompressionBombWarning)
    try:
        files = _plan(args)
        least = args.score_thr
        if least is None:
            least = max(SCORE_THR, read_metadata(args.model)['score_thr'])
        detector = Detector(args.model, args.backend, args.threads, least)
        done, lost = _write(args, _detect(detector, files, args.video))
        unread = 0 if args.video else len(files) - done
        failures = []
        if unread:
            failures = [f'{unread} of {len(files)} images could not be read']
        if lost:
            failures += [f'{lost} of {done} pictures could not be written']
        if failures:
            raise ValueError(', '.join(failures))
    except (ImportError, OSError, ValueError) as error:
        _say(f'error: {_one_line(error)}')
        raise SystemExit(2) from None


def _plan(args: argparse.Namespace) -> dict[Path, str]:
    """Return for each image its picture's path in the output folder.

    That is its path in the folder that was given, numbered from the second
    of one path on.
    """
    if bool(args.images) == bool(args.video):
        raise ValueError('give either IMAGES or --video')
    names: dict[Path, Path] = {}
    for path in map(Path, args.images):
        if path.is_dir():
            files = (
                f for f in path.rglob('*') if f.suffix.lower() in SUFFIXES
            )
            names |= {file: file.relative_to(path) for file in sorted(files)}
        else:
            names[path] = Path(path.name)
    if not names and args.images:
        raise ValueError(f'{args.images} have no files that end in {SUFFIXES}')
    targets: dict[str, str] = {}
    for name in names.values():
        stem = name.with_suffix('').as_posix()
        target, number = f'{stem}.jpg', 1
        while target.lower() in targets:  # of a file system without case
            number += 1
            target = f'{stem}_{number}.jpg'
        targets[target.lower()] = target
    _check_outputs(args, [args.model, *names], targets.values())
    return dict(zip(names, targets.values(), strict=True))


def _check_outputs(
    args: argparse.Namespace,
    sources: Iterable[str | Path],
    targets: Iterable[str],
) -> None:
    """Refuse to write upon what is read, or where it would be found."""
    outputs = []
    taken = {_resolve(path) for path in sources}
    if args.out_dir:
        folder = Path(args.out_dir)
        outputs += [folder / target for target in targets]
        around = {_resolve(folder), *_resolve(folder).parents}
        if not around.isdisjoint(_resolve(path) for path in args.images):
            raise ValueError(
                f'--out-dir {folder} lies in a folder whose images are to be '
                'read; choose one elsewhere'
            )
        taken |= around
    if args.json:
        outputs.append(Path(args.json))
    for output in outputs:
        place = _resolve(output)
        if os.path.isdir(output) or place in taken:
            raise ValueError(
                f'{_name(output)} is a folder, or what else is to be read '
                'or written; write to another'
            )
        taken.add(place)


def _resolve(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # Path's own fails at loops


def _detect(
    detector: Detector, files: dict[Path, str], video: str | None
) -> Iterator[tuple[dict, str, Image.Image, Result]]:
    """Yield a start of JSON, the picture's path, the image and the result."""
    if video:
        source = int(video) if video.isdecimal() else video
        frames = detector.predict_video(source)
        for number, (frame, found) in enumerate(frames, 1):
            entry = {'file': video, 'frame': number}
            name = f'{Path(video).stem}_{number:06d}.jpg'
            yield entry, name, Image.fromarray(frame), found
    for file, name in files.items():
        try:
            picture = read_image(file)
        except ValueError as error:
            _say(str(error))
        else:
            yield {'file': str(file)}, name, picture, detector.predict(picture)


def _write(
    args: argparse.Namespace,
    results: Iterable[tuple[dict, str, Image.Image, Result]],
) -> tuple[int, int]:
    """Write what was asked for; return numbers of results and lost pictures.

    What cannot be written to is known before the first image is read.
    """
    entries, number, lost = [], 0, 0
    if args.out_dir:
        Path(args.out_dir).mkdir(parents=True, exist_ok=True)
    output = _complete_file(Path(args.json)) if args.json else nullcontext()
    with output as file:
        try:
            for number, (entry, name, picture, found) in enumerate(results, 1):
                if args.out_dir:
                    if _save(Path(args.out_dir, name), picture, found):
                        entry['picture'] = name
                    else:
                        lost += 1
                if args.json:
                    size = {'width': picture.width, 'height': picture.height}
                    entries.append(entry | size | {'detections': _list(found)})
                if not args.out_dir and not args.json:
                    _print_table(entry['file'], found)
                elif sys.stderr.isatty():
                    sys.stderr.write(f'\r{number} images ')
        except KeyboardInterrupt:
            if not args.video:  # a camera ends so
                raise
        if file:
            file.write(json.dumps(entries).encode())
    if args.out_dir or args.json:
        _say(f'{number} images')
    return number, lost


def _save(path: Path, picture: Image.Image, found: Result) -> bool:
    """Write a picture of what was found, or say why it is lost."""
    try:
        if max(picture.size) > MAX_JPEG_SIDE:
            raise ValueError(f'JPEG has at most {MAX_JPEG_SIDE} pixels a side')
        with _complete_file(path) as file:
            draw(picture, found).save(file, 'JPEG', quality=90)
    except (OSError, ValueError) as error:
        if getattr(error, 'errno', None) in DISK_ERRORS:
            raise
        _say(f'{_name(path)} cannot be written: {_one_line(error)}')
        return False
    return True


def _print_table(file: str, found: Result) -> None:
    for box, score, name in zip(*found[:2], found.names, strict=True):
        texts = _name(file), _name(name), f'{score:.2f}'
        print(*texts, *np.round(box, 1), sep='\t')


def _list(found: Result) -> list[dict]:
    """Return detections as JSON has them."""
    parts = found.boxes, found.scores, found.labels
    rows = zip(*(part.tolist() for part in parts), found.names, strict=True)
    keys = 'box', 'score', 'label', 'class'
    entries = [dict(zip(keys, row, strict=True)) for row in rows]
    if found.masks is not None:
        for entry, mask in zip(entries, found.masks, strict=True):
            entry['mask'] = encode_mask(mask)
    return entries


@contextmanager
def _complete_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that appears at ``path`` when it is complete.

    What is there already and no file, such as a pipe, is written to.
    """
    is_file = True
    with suppress(FileNotFoundError):
        is_file = stat.S_ISREG(path.stat().st_mode)
    if not is_file:
        with open(path, 'wb') as file:
            yield file
        return
    path = _resolve(path)  # links stay
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.partial-{uuid.uuid4().hex}')
    try:
        with open(partial, 'wb') as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _name(given: object) -> str:
    """Return a path, or what else was given, in one short line."""
    text = str(given)
    text = text if text.splitlines() == [text] else repr(text)
    return text if len(text) <= 400 else f'{text[:400]}...'


def _one_line(error: Exception) -> str:
    text = ' '.join(f'{error}'.split()) or type(error).__name__
    return text if len(text) <= 400 else f'{text[:400]}...'


def _say(line: str) -> None:
    """Write a line to stderr, upon the count of images."""
    start = '\r' if sys.stderr.isatty() else ''
    sys.stderr.write(f'{start}{line}\n')


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='fbnetv3_runtime',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('model', help='file that tools/export.py wrote')
    add('images', nargs='*', help='image files, or folders to search')
    add('--video', metavar='SRC', help='video file, or number of a camera')
    add('--out-dir', metavar='DIR', help='write pictures to this folder')
    add('--json', metavar='FILE', help='write what was found to this file')
    add(
        '--score-thr',
        type=float,
        metavar='SCORE',
        help=f'leave out what has a lower score (default: {SCORE_THR}, or '
        "the file's own, if higher)",
    )
    add('--backend', help=f'one of {", ".join(BACKENDS)}')
    add('--threads', type=int, help='of the CPU')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
