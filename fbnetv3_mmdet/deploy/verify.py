"""Writing a file that finds what its detector finds."""

from __future__ import annotations

import copy
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from mmengine.config import Config
from scipy.optimize import linear_sum_assignment
from torch import nn

import fbnetv3_runtime
from fbnetv3_runtime import Result, read_image

from ..files import complete_file
from ..inference import TorchDetector
from .inputs import as_batch, random_picture
from .support import check_size

TOLERANCE = dict(boxes=0.05, scores=1e-4, masks=1e-3)
OTHER = 1.0  # pixels by which a box is another's, not the same one moved


class Differences(NamedTuple):
    """Largest differences between two sets of detections.

    Attributes:
        detections: How many there are.
        boxes: Largest difference of a coordinate, in pixels; infinite where
            the two sets differ in size or classes.
        scores: Largest difference of a score.
        masks: Share of the masks' pixels that differ; None: there are no
            masks.
    """

    detections: int
    boxes: float
    scores: float
    masks: float | None = None

    @property
    def negligible(self) -> bool:
        """Whether they are no larger than rounding explains."""
        limits = TOLERANCE.items()
        return all((getattr(self, key) or 0) <= limit for key, limit in limits)

    def __str__(self) -> str:
        """Return the figures in words."""
        masks = '' if self.masks is None else f', masks {self.masks:.2%}'
        return (
            f'{self.detections} detections, largest differences: boxes '
            f'{self.boxes:.1g} px, scores {self.scores:.1g}{masks}'
        )


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

    Raises:
        ValueError: A part of the config cannot be exported, the file finds
            other things than MMDetection, or an argument is wrong.
    """
    path = Path(path)
    from .export import export  # PyTorch's exporter takes two seconds

    check_size(size)
    if os.path.lexists(path):
        raise ValueError(
            f'target={str(path)!r} exists; choose another name, or remove it'
        )
    given = None if image is None else read_image(image)
    detector = TorchDetector(copy.deepcopy(cfg), checkpoint, 'cpu')
    model = detector.model
    with complete_file(path) as partial:
        export(cfg, model, detector.meta['classes'], partial, size)
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
    numbers = sum(p.numel() for p in model.parameters())
    return ExportReport(path, name, found, found.negligible, numbers)


def compare(
    run: fbnetv3_runtime.Detector, model: nn.Module, picture: np.ndarray
) -> Differences:
    """Compare what a file finds with what its detector finds.

    Args:
        run: The file.
        model: What it was written from.
        picture: uint8 (H, W, 3), RGB, of the network's input size.
    """
    return differences(run.predict(picture), detect(model, picture))


def rounding_decides(model: nn.Module, picture: np.ndarray) -> bool:
    """Return whether a detector finds others if all weights change by 3e-7.

    Of proposals that score alike, as those of a hardly trained detector do,
    rounding decides which are kept. Another order of additions, as in
    another engine, then finds other things, and neither is wrong.
    """
    generator = torch.Generator().manual_seed(0)
    shaken = copy.deepcopy(model)
    with torch.no_grad():
        for weights in shaken.parameters():
            noise = torch.randn(weights.shape, generator=generator)
            weights += 3e-7 * noise * (1 + abs(weights))
    found, expected = detect(shaken, picture), detect(model, picture)
    return differences(found, expected).boxes > OTHER


def detect(model: nn.Module, picture: np.ndarray) -> Result:
    """Return what MMDetection finds in a picture; classes have no names."""
    with torch.no_grad():
        (sample,) = model.test_step(as_batch(picture))
    found = sample.pred_instances.numpy()
    masks = found.get('masks')
    names = [''] * len(found.labels)
    return Result(found.bboxes, found.scores, found.labels, names, masks)


def differences(found: Result, expected: Result) -> Differences:
    """Compare detections, each matched with one of the other set."""
    count = len(expected.labels)
    if sorted(found.labels) != sorted(expected.labels):
        return Differences(count, np.inf, np.inf)
    boxes = abs(found.boxes[:, None] - expected.boxes).max(2)
    scores = abs(found.scores[:, None] - expected.scores)
    alien = found.labels[:, None] != expected.labels
    pairs = linear_sum_assignment(boxes + scores + 1e6 * alien)
    worst = [float(gap[pairs].max(initial=0)) for gap in (boxes, scores)]
    if found.masks is None:
        return Differences(count, *worst)
    masks = expected.masks[pairs[1]]
    share = (found.masks[pairs[0]] != masks).sum() / max(masks.sum(), 1)
    return Differences(count, *worst, float(share))


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
