"""What a file finds next to what MMDetection finds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

import fbnetv3_runtime
from fbnetv3_runtime import Mask, Result

from .inputs import as_batch

TOLERANCE = dict(boxes=0.05, scores=1e-4, masks=1e-3)
HALF_TOLERANCE = dict(boxes=1.0, scores=0.02, masks=0.02)  # of 16 bits
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
        return self.within(TOLERANCE)

    def within(self, limits: Mapping[str, float]) -> bool:
        """Whether none is larger than its limit."""
        found = self._asdict()
        return all((found[key] or 0) <= limits[key] for key in limits)

    def __str__(self) -> str:
        """Return the figures in words."""
        masks = '' if self.masks is None else f', masks {self.masks:.2%}'
        return (
            f'{self.detections} detections, largest differences: boxes '
            f'{self.boxes:.1g} px, scores {self.scores:.1g}{masks}'
        )


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
    masks = None
    if 'masks' in found:
        masks = [Mask(m, (0, 0), m.shape[::-1]) for m in found.masks]
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
    wrong = area = 0
    for one, other in zip(*pairs, strict=True):
        mask = expected.masks[other].full()
        wrong += (found.masks[one].full() != mask).sum()
        area += mask.sum()
    return Differences(count, *worst, float(wrong / max(area, 1)))
