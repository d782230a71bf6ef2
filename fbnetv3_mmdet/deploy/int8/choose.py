"""Which layers of a detector stay in float: those that cost accuracy.

That is measured against the float file's detections, not annotations: AP of
some hundred images moves by half a point with the roundings of one backend or
another, and hides what is lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx

from fbnetv3_runtime import Detector, Result

from .quantizer import Quantizer
from .score import CONFIDENT, Progress, agreement, detect, spread

NUM_IMAGES = 16  # in which the loss of a single layer is measured


class Choice(NamedTuple):
    """The layers to quantize.

    Attributes:
        integers: Their names.
        losses: What each layer alone loses, in points of AP against the
            float file's detections; empty where none was measured.
    """

    integers: list[str]
    losses: dict[str, float]


class Sensitivity:
    """Measures what choices of layers lose, with ONNX Runtime.

    What the float file is sure of counts as the truth, and the loss is that
    of boxes or masks, whichever is larger.

    Args:
        quantizer: A calibrated one.
        model: The float file.
        files: Images to detect in.
        progress: Wraps what is iterated over.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        model: Path,
        files: Sequence[Path],
        progress: Progress,
    ) -> None:
        self._quantizer, self._files = quantizer, files
        self.progress = progress
        detector = Detector(model, 'onnxruntime')
        found = detect(detector, progress(files, 'float'))
        self._all = agreement(found)
        # Others show nothing. Crowds, whose proposals displace each other,
        # would show roundings.
        sure = [
            i
            for i, result in enumerate(found)
            if (result.scores >= CONFIDENT).any()
        ]
        few = spread(sure, NUM_IMAGES)
        self._few = agreement([found[i] for i in few])
        self._few_files = [files[i] for i in few]

    def ap50_loss(self, layers: Collection[str]) -> float:
        """Return the points of AP50 lost with these layers in integers."""
        scores = self._all.score(self._detect(layers, self._files))
        return 100 - min(scores[key] for key in scores if '50' in key)

    def ap_loss_alone(self, layer: str) -> float:
        """Return the points of AP that one layer loses, in few images.

        AP sees smaller changes than AP50.
        """
        scores = self._few.score(self._detect([layer], self._few_files))
        return 100 - min(scores[key] for key in scores if '50' not in key)

    def _detect(
        self, layers: Collection[str], files: Sequence[Path]
    ) -> list[Result]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'model.onnx')
            onnx.save(self._quantizer.build(layers), path)
            detector = Detector(path, 'onnxruntime')
        return detect(detector, files)


def choose(
    sensitivity: Sensitivity, layers: Sequence[str], max_drop: float
) -> Choice:
    """Choose layers that lose little: all of them but the worst.

    Args:
        sensitivity: Measures choices.
        layers: The layers to choose from.
        max_drop: Points of AP50 that may be lost.

    Raises:
        ValueError: Even most layers in float are not enough.
    """
    if sensitivity.ap50_loss(layers) <= max_drop:
        return Choice([*layers], {})
    losses = {
        name: sensitivity.ap_loss_alone(name)
        for name in sensitivity.progress(layers, 'layer by layer')
    }
    order = sorted(layers, key=losses.__getitem__, reverse=True)
    fails, fits = 0, 1  # numbers of layers in float
    while (lost := sensitivity.ap50_loss(order[fits:])) > max_drop:
        fails, fits = fits, 2 * fits
        if fits >= len(order):
            raise ValueError(
                f'--max-drop={max_drop} cannot be met: {lost:.2f} points are '
                f'lost with the {fails} worst of {len(order)} layers in '
                'float; give more images, or allow more'
            )
    while fits - fails > 1:
        middle = (fails + fits) // 2
        if sensitivity.ap50_loss(order[middle:]) > max_drop:
            fails = middle
        else:
            fits = middle
    kept = set(order[:fits])
    return Choice([name for name in layers if name not in kept], losses)
