"""Whether a written file finds what its detector finds."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from mmdet.structures import DetDataSample
from PIL import Image
from scipy.optimize import linear_sum_assignment

import fbnetv3_runtime
from fbnetv3_runtime import Result

from ..inference import Detector

TOLERANCE = dict(boxes=0.05, scores=1e-4, masks=1e-3)
OTHER = 1.0  # pixels by which a box is another's, not the same one moved


class Differences(NamedTuple):
    """Largest differences between two sets of detections.

    Attributes:
        detections: How many there are.
        boxes: Of a coordinate, in pixels; infinite where the sets are not
            of the same size and classes.
        scores: Of a score.
        masks: Share of the masks' pixels; None: there are no masks.
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


def compare(
    path: Path, detector: Detector, picture: np.ndarray
) -> Differences:
    """Compare what a file finds in ONNX Runtime with what its detector finds.

    Args:
        path: Of the ONNX file.
        detector: What it was written from.
        picture: uint8 (H, W, 3), RGB, of the network's input size.
    """
    run = fbnetv3_runtime.Detector(path, 'onnxruntime', threads=1)
    return _differences(run.predict(picture), _detect(detector, picture))


def rounding_decides(detector: Detector, picture: np.ndarray) -> bool:
    """Return whether a detector finds others if all weights change by 3e-7.

    Of proposals that score alike, as those of a hardly trained detector do,
    rounding decides which are kept. Another order of additions, as in
    another engine, then finds other things, and neither is wrong.
    """
    generator = torch.Generator().manual_seed(0)
    shaken = copy.deepcopy(detector)
    with torch.no_grad():
        for weights in shaken.model.parameters():
            noise = torch.randn(weights.shape, generator=generator)
            weights += 3e-7 * noise * (1 + abs(weights))
    found, expected = _detect(shaken, picture), _detect(detector, picture)
    return _differences(found, expected).boxes > OTHER


def _detect(detector: Detector, picture: np.ndarray) -> Result:
    size = picture.shape[:2]
    sample = DetDataSample(
        metainfo=dict(ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
    )
    pixels = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)
    found = detector.detect(dict(inputs=pixels, data_samples=sample)).numpy()
    names = [detector.meta['classes'][label] for label in found.labels]
    masks = found.get('masks')
    return Result(found.bboxes, found.scores, found.labels, names, masks)


def _differences(found: Result, expected: Result) -> Differences:
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


def input_picture(
    detector: Detector,
    image: str | None,
    scale: tuple[int, int],
    size: tuple[int, int] | None,
) -> np.ndarray:
    """Return a picture, (H, W, 3), RGB, of the network's input size.

    Args:
        detector: Whose test pipeline reads it.
        image: Path of its file; None: clouds of random colours.
        scale: (long, short) side of the pipeline's pictures.
        size: (height, width) of the input; None: any.

    Raises:
        ValueError: The image cannot be read.
    """
    if image is None:
        noise = np.random.default_rng(0).integers(0, 256, (14, 20, 3), 'u1')
        picture = Image.fromarray(noise).resize(scale, Image.BILINEAR)
    else:
        _, data = detector.read(image)
        pixels = data['inputs'].permute(1, 2, 0).numpy()[..., ::-1]
        picture = Image.fromarray(pixels.copy())
    if size is not None:
        picture = picture.resize(size[::-1], Image.BILINEAR)
    return np.array(picture)


def describe(path: Path, detector: Detector) -> str:
    """Return a file's size, operators and so on, and its parameters.

    Those are counted as trained: the file's have batch norms folded in.
    """
    model = onnx.load(path)
    counts = Counter(node.op_type for node in model.graph.node)
    operators = ', '.join(f'{n} {op}' for op, n in counts.most_common())
    numbers = sum(p.numel() for p in detector.model.parameters())
    lines = [
        f'{path.stat().st_size / 1e6:.1f} MB, {numbers / 1e6:.2f} M '
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
