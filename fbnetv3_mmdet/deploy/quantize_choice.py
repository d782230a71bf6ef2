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
from tqdm import tqdm

from fbnetv3_runtime import Detector

from .quantize import Quantizer
from .quantize_measure import CONFIDENT, agreement, run

NUM_TRIAL_IMAGES = 16  # that a layer's damage is measured in


class Choice(NamedTuple):
    """Layers to quantize.

    Attributes:
        integers: Names of these layers.
        damages: What each layer alone costs, in points of AP against the
            float file's detections; empty where none was measured.
    """

    integers: list[str]
    damages: dict[str, float]


class Trials:
    """Tries choices of layers, with ONNX Runtime.

    Args:
        quantizer: Calibrated.
        model: The float file.
        files: Images to detect in.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        model: str,
        files: Sequence[Path],
    ) -> None:
        self._quantizer, self._files = quantizer, files
        found = run(Detector(model, 'onnxruntime'), tqdm(files, 'float'))
        self._all = agreement(found.results)
        # Others show nothing. Crowds, whose proposals displace each other,
        # would show roundings.
        sure = [
            i
            for i, result in enumerate(found.results)
            if (result.scores >= CONFIDENT).any()
        ]
        few = sure[:: -(-len(sure) // NUM_TRIAL_IMAGES)]
        self._few = agreement([found.results[i] for i in few])
        self._few_files = [files[i] for i in few]

    def drop(self, layers: Collection[str]) -> float:
        """Return the points of AP50 lost with these layers in integers.

        They are of boxes or masks, whichever loses more, where what the
        float file is sure of counts as the truth.
        """
        scores = self._all.score(self._detect(layers, self._files))
        return 100 - min(scores[key] for key in scores if '50' in key)

    def damage(self, layer: str) -> float:
        """Return the points of AP lost, likewise, in few images by a layer.

        AP sees smaller changes than AP50.
        """
        scores = self._few.score(self._detect([layer], self._few_files))
        return 100 - min(scores[key] for key in scores if '50' not in key)

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
