"""Writing a file that finds what its detector finds."""

from __future__ import annotations

import copy
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import onnx
from mmengine.config import Config

import fbnetv3_runtime
from fbnetv3_runtime import read_image
from fbnetv3_runtime.backends import second_file

from ..files import complete_file
from ..inference import TorchDetector
from .comparison import (
    HALF_TOLERANCE,
    TOLERANCE,
    Differences,
    compare,
    rounding_decides,
)
from .half import to_half
from .inputs import random_picture
from .support import check_batch, check_size, limit_proposals


class ExportReport(NamedTuple):
    """What was written, and how it compares with MMDetection.

    Attributes:
        path: The file.
        picture: What both detected in: the path of an image, or 'a random
            picture'.
        differences: Between what the file and what MMDetection finds.
        is_verified: Whether they find the same; False: rounding decides what
            this detector finds, as in one that is hardly trained.
        parameters: How many the detector has, as trained: the file's have
            batch norms folded in.
    """

    path: Path
    picture: str
    differences: Differences
    is_verified: bool
    parameters: int

    def __str__(self) -> str:
        """Return it in lines for people."""
        verdict = f'as MMDetection in {self.picture}: {self.differences}'
        if not self.is_verified:
            verdict = (
                'not verified: rounding decides what this detector finds in '
                f'{self.picture}, as in one that is hardly trained; check the '
                'file with tools/test.py, or verify with a picture of objects '
                '(--image)'
            )
        facts = describe(self.path, self.parameters)
        return f'{self.path}: {facts}\n{verdict}'


def export_verified(
    cfg: Config,
    checkpoint: str,
    path: str | os.PathLike,
    size: tuple[int, int] | None = None,
    image: str | None = None,
    half: bool = False,
    split: bool = False,
    batch: int | None = None,
    proposals: int | None = None,
) -> ExportReport:
    """Write a trained detector as an ONNX file that finds what it finds.

    Args:
        cfg: The detector's config, which is not changed.
        checkpoint: File or URL of its weights.
        path: The file to write, which must not exist. It appears when it is
            complete and compared.
        size: (height, width) of the input in pixels; None: any.
        image: An image file to compare with MMDetection on, best with
            objects in it; None: a random picture.
        half: Whether the networks calculate in 16 bits.
        split: Whether to write two files without NonMaxSuppression and
            RoiAlign; the second has ``.regions`` in its name.
        batch: How many pictures the file takes at the same time; 0: any
            number; None: one.
        proposals: How many regions of a picture a two-stage detector looks
            at; None: as many as in the config.

    Raises:
        ValueError: A part of the config cannot be exported, the file finds
            other things than MMDetection, or an argument is wrong.
    """
    path = Path(path)
    check_size(size)
    check_batch(batch, split)
    _check_target(path, half, split)
    given = None if image is None else read_image(image)
    cfg = copy.deepcopy(cfg)
    if proposals is not None:
        limit_proposals(cfg, proposals)
    detector = TorchDetector(cfg, checkpoint, 'cpu')
    model = detector.model
    with _complete_files(path, split) as (partial, *more):
        _write(cfg, detector, [partial, *more], size, batch)
        run = fbnetv3_runtime.Detector(partial, 'onnxruntime', threads=1)
        if given is None:
            width, height = run.metadata['resize']['scale']
            given = read_image(random_picture(height, width))
        pixels, _ = run.resize(given)
        found = compare(run, model, pixels)
        name = image or 'a random picture'
        if not found.negligible and not rounding_decides(model, pixels):
            raise ValueError(
                f'{path} is not written: what it finds in {name} is '
                f'not what MMDetection finds, {found}; try another with '
                '--image, and report this'
            )
        limits = TOLERANCE
        if half:
            to_half(partial)
            run = fbnetv3_runtime.Detector(partial, 'onnxruntime', threads=1)
            found, limits = compare(run, model, pixels), HALF_TOLERANCE
    numbers = sum(p.numel() for p in model.parameters())
    return ExportReport(path, name, found, found.within(limits), numbers)


def _check_target(path: Path, half: bool, split: bool) -> None:
    for file in (path, second_file(path))[: 2 if split else 1]:
        if os.path.lexists(file):
            raise ValueError(
                f'target={str(file)!r} exists; choose another name, or '
                'remove it'
            )
    if half and split:
        raise ValueError(
            '--half and --split do not go together; leave --half out, as '
            "NPUs' toolchains convert to their own numbers"
        )


@contextmanager
def _complete_files(path: Path, split: bool) -> Iterator[list[Path]]:
    """Yield where to write a file, or two, that appear when complete."""
    with complete_file(path) as first:
        if not split:
            yield [first]
            return
        second = Path(second_file(first))
        try:
            yield [first, second]
            with complete_file(Path(second_file(path))) as place:
                shutil.copyfile(second, place)
        finally:
            second.unlink(missing_ok=True)


def _write(
    cfg: Config,
    detector: TorchDetector,
    paths: list[Path],
    size: tuple[int, int] | None,
    batch: int | None,
) -> None:
    # PyTorch's exporter takes two seconds
    from .export import export
    from .split import export_split

    classes = detector.meta['classes']
    if len(paths) == 2:
        export_split(cfg, detector.model, classes, paths, size)
    else:
        export(cfg, detector.model, classes, *paths, size, batch)


def describe(path: Path, parameters: int) -> str:
    """Return a file's size, operators and so on, and its parameters."""
    model = onnx.load(path)
    counts = Counter(node.op_type for node in model.graph.node)
    operators = ', '.join(f'{n} {op}' for op, n in counts.most_common())
    lines = [
        f'{path.stat().st_size / 1e6:.1f} MB, {parameters / 1e6:.2f} M '
        f'parameters, opset {model.opset_import[0].version}',
        f'operators: {operators}',
        f'input: {_list(model.graph.input)}',
        f'outputs: {_list(model.graph.output)}',
    ]
    return '\n'.join(lines)


def _list(values: list[onnx.ValueInfoProto]) -> str:
    return ', '.join(map(_declare, values))


def _declare(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    sides = [d.dim_param or str(d.dim_value) for d in tensor.shape.dim]
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return f'{value.name} {kind} ({", ".join(sides)})'
