"""Which layers of a detector stay in float: those that cost accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
from tqdm import tqdm

from fbnetv3_runtime import Detector

from .quantize import Quantizer
from .quantize_measure import Truth, agreement, run

NUM_TRIAL_IMAGES = 32  # that a layer's damage is measured in


class Choice(NamedTuple):
    """Layers to quantize.

    Attributes:
        integers: Names of these layers.
        damages: What each layer alone costs, in points of AP as compared
            with the float file's detections; empty where none was measured.
    """

    integers: list[str]
    damages: dict[str, float]


class Trials:
    """Tries choices of layers, with ONNX Runtime.

    Args:
        quantizer: Calibrated.
        model: The float file.
        files: Images to detect in.
        truth: What is in them; None: what the float file is sure of.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        model: str,
        files: Sequence[Path],
        truth: Truth | None = None,
    ) -> None:
        self._quantizer, self._files = quantizer, files
        found = run(Detector(model, 'onnxruntime'), tqdm(files, 'float'))
        few = slice(NUM_TRIAL_IMAGES)
        self._same = agreement(found.results)
        self._same_of_few = agreement(found.results[few])
        self._truth = truth
        self._key = 'AP' if truth else 'AP50'
        self._goal = (truth or self._same).score(found.results)

    def drop(self, layers: Collection[str]) -> float:
        """Return the points lost with these layers in integers.

        They are of AP, of boxes or masks, whichever loses more; where there
        is no truth, of AP50 as compared with the float file.
        """
        scores = (self._truth or self._same).score(
            self._detect(layers, self._files)
        )
        return max(
            self._goal[key] - scores[key]
            for key in self._goal
            if key.endswith(self._key)
        )

    def damage(self, layer: str) -> float:
        """Return the points of AP by which a layer alone changes results."""
        files = self._files[:NUM_TRIAL_IMAGES]
        scores = self._same_of_few.score(self._detect([layer], files))
        keys = [key for key in scores if key.endswith('AP')]
        return 100 - sum(scores[key] for key in keys) / len(keys)

    def _detect(self, layers: Collection[str], files: Sequence[Path]) -> list:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'model.onnx')
            onnx.save(self._quantizer.build(layers), path)
            detector = Detector(path, 'onnxruntime')
        return run(detector, files).results


def choose(trials: Trials, layers: Sequence[str], max_drop: float) -> Choice:
    """Choose layers that cost little: all of them but the worst.

    Args:
        trials: Measures choices.
        layers: To choose from.
        max_drop: Points that may be lost.

    Raises:
        ValueError: Even most layers in float are not enough.
    """
    if trials.drop(layers) <= max_drop:
        return Choice([*layers], {})
    damages = {
        name: trials.damage(name) for name in tqdm(layers, 'layer by layer')
    }
    order = sorted(layers, key=damages.__getitem__, reverse=True)
    fails, fits = 0, 1  # numbers of layers in float
    while (lost := trials.drop(order[fits:])) > max_drop:
        fails, fits = fits, 2 * fits
        if fits >= len(order):
            raise ValueError(
                f'--max-drop={max_drop} cannot be met: {lost:.2f} points are '
                f'lost with the {fails} worst of {len(order)} layers in '
                'float; give more images, or allow more'
            )
    while fits - fails > 1:
        middle = (fails + fits) // 2
        if trials.drop(order[middle:]) > max_drop:
            fails = middle
        else:
            fits = middle
    kept = set(order[:fits])
    return Choice([name for name in layers if name not in kept], damages)
