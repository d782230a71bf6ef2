"""From a float file and images to a quantized file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from fbnetv3_runtime import SUFFIXES, Detector

from ...files import complete_file
from .choose import Sensitivity, choose
from .quantizer import Quantizer
from .report import Report, compare
from .score import Annotations, Progress, spread


def _silent(items, _):
    return items


def quantize_file(
    model: str | os.PathLike,
    target: str | os.PathLike,
    images: Sequence[str | os.PathLike],
    annotations: str | None = None,
    keep_float: Sequence[str] = (),
    max_drop: float = 0.5,
    num_images: int = 100,
    bits: int = 7,
    progress: Progress = _silent,
) -> Report:
    """Write an exported detector with its networks in 8-bit integers.

    All layers are quantized first. Where that loses more than ``max_drop``,
    each layer is measured alone and the worst are left in float, as few as
    will do. What the float file is sure of counts as the truth.

    Args:
        model: The file to quantize, which ``export_verified`` wrote.
        target: The file to write, which must not exist.
        images: Image files to calibrate with, or folders of them, like those
            that the detector will see.
        annotations: A file of their annotations in COCO's format, which adds
            AP to the report; of folders it takes the images that are in it.
        keep_float: Layers that stay in float, such as 'rpn_head.*'.
        max_drop: Points of AP50 that may be lost, 0 to 100.
        num_images: How many of the images are used, evenly spread.
        bits: Of the weights. 8 are for processors with VNNI or Arm's dot
            products; others add wrongly with them.
        progress: Called with what is iterated over and a word for people,
            such as ``tqdm``; returns what to iterate over.

    Raises:
        ValueError: A file is wrong, an argument is, or ``max_drop`` cannot
            be met.
    """
    model, target = os.fspath(model), os.fspath(target)
    _check(target, num_images, max_drop, bits)
    detector = Detector(model, 'onnxruntime')
    known = None
    if annotations:
        known = Annotations(annotations, detector.metadata['classes'])
    files = _find_images(images, known.has if known else lambda file: True)
    files = spread(files, num_images)
    scorer = known.scorer(files) if known else None
    quantizer = Quantizer(Path(model), bits)
    kept = quantizer.match(keep_float)
    quantizer.calibrate(_read_inputs(detector, files, progress))
    layers = [name for name in quantizer.layers if name not in kept]
    sensitivity = Sensitivity(quantizer, Path(model), files, progress)
    choice = choose(sensitivity, layers, max_drop)
    with complete_file(Path(target)) as path:
        onnx.save(quantizer.build(choice.integers), path)
    figures = compare([model, target], files, scorer, progress)
    return Report(figures, [*quantizer.layers], choice)


def _check(target: str, num_images: int, max_drop: float, bits: int) -> None:
    if bits not in (7, 8):
        raise ValueError(
            f'--bits={bits} is no width of weights; give 7, or 8 for '
            "processors with VNNI or Arm's dot products"
        )
    if os.path.lexists(target):
        raise ValueError(
            f'target={target!r} exists; choose another name, or remove it'
        )
    for option, value, least in (
        ('num-images', num_images, 1),
        ('max-drop', max_drop, 0),
    ):
        if not value >= least:
            raise ValueError(
                f'--{option}={value} is too low; give at least {least}'
            )


def _find_images(
    paths: Sequence[str | os.PathLike], is_annotated: Callable[[Path], bool]
) -> list[Path]:
    """Return image files, and of folders those in them that are annotated.

    Where no image of a folder is annotated, the annotations are wrong.
    """
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            found = path.rglob('*')
            found = sorted(f for f in found if f.suffix.lower() in SUFFIXES)
            files += list(filter(is_annotated, found)) or found
        else:
            files.append(path)
    if not files:
        raise ValueError(
            f'--calibrate={paths!r} has no files that end in {SUFFIXES}; '
            'give images'
        )
    return files


def _read_inputs(
    detector: Detector, files: Sequence[Path], progress: Progress
) -> Iterator[np.ndarray]:
    """Yield what the network gets of each image.

    Raises:
        ValueError: Images cannot be read.
    """
    errors = []
    for file in progress(files, 'calibration'):
        try:
            photo = detector.read(file)
        except ValueError as error:
            errors.append(error)
        else:
            pixels, _ = detector.resize(photo.picture, photo.size)
            yield pixels[None]
    if errors:
        raise ValueError(
            f'{len(errors)} of {len(files)} images cannot be read, such as: '
            f'{errors[0]}; leave them out'
        )
