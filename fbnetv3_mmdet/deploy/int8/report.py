"""What a quantized file is worth, beside the float one."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from terminaltables import GithubFlavoredMarkdownTable

from fbnetv3_runtime import BACKENDS, Detector

from ..latency import in_turns, prepare
from .choose import Choice
from .score import CocoScorer, Progress, agreement, detect


class FileFigures(NamedTuple):
    """How a file does in a backend, with one thread.

    Attributes:
        backend: The backend's name.
        path: The file.
        scores: COCO's metrics in percent by name; 'vs float' are those where
            the float file's detections count as the truth.
        milliseconds: The median of what a picture takes, from the network's
            input to the boxes; the files take turns.
        megabytes: Size of the file.
    """

    backend: str
    path: str
    scores: dict[str, float]
    milliseconds: float
    megabytes: float


class Report(NamedTuple):
    """What quantizing did.

    Attributes:
        files: Figures of the float file and then of the quantized one, in
            each backend that is installed.
        layers: Names of all layers, in the order of the file.
        choice: Which of them are integers, and what they lose.
    """

    files: list[FileFigures]
    layers: list[str]
    choice: Choice

    def __str__(self) -> str:
        """Return it as a table, and the layers that stayed in float."""
        table = [['backend', 'file', *self.files[0].scores, 'ms', 'MB']]
        for backend, path, scores, *more in self.files:
            figures = [f'{value:.2f}' for value in [*scores.values(), *more]]
            table.append([backend, path, *figures])
        text = GithubFlavoredMarkdownTable(table).table
        lines = [text, explain(self.layers, self.choice), *self.not_faster()]
        return '\n'.join(lines)

    def not_faster(self) -> list[str]:
        """Return a line for each backend that gains no time here."""
        return [
            f'{fast.backend} takes {fast.milliseconds:.1f} ms with integers '
            f'and {plain.milliseconds:.1f} ms in float on this machine: ship '
            'the float file for it, or measure on the device '
            '(tools/benchmark.py)'
            for plain, fast in zip(
                self.files[::2], self.files[1::2], strict=True
            )
            if fast.milliseconds >= plain.milliseconds
        ]


def compare(
    models: Sequence[str],
    images: Sequence[Path],
    scorer: CocoScorer | None,
    progress: Progress,
) -> list[FileFigures]:
    """Return figures of files, run by each backend that is installed.

    Args:
        models: A float file and what was made of it.
        images: Image files to detect in.
        scorer: Knows what is in them; None: nobody does.
        progress: Wraps what is iterated over.
    """
    same, figures = None, []
    for backend in filter(importlib.util.find_spec, BACKENDS):
        times = in_turns(
            [prepare(m, backend=backend) for m in models], rounds=3, times=10
        )
        for model, time in zip(models, times, strict=True):
            detector = Detector(model, backend, threads=1)
            found = detect(detector, progress(images, f'{backend} {model}'))
            same = same or agreement(found)
            scores = scorer.score(found) if scorer else {}
            for key, value in same.score(found).items():
                scores[f'{key} vs float'] = value
            size = os.path.getsize(model) / 1e6
            figures.append(
                FileFigures(backend, model, scores, time.median, size)
            )
    return figures


def explain(layers: Sequence[str], choice: Choice) -> str:
    """Return which of the layers stayed in float, and why."""
    kept = [name for name in layers if name not in choice.integers]
    lines = [f'{len(choice.integers)} of {len(layers)} layers are integers']
    if kept:
        lines[0] += '; in float are:'
    for name in kept:
        why = 'as asked'
        if name in choice.losses:
            why = f'costs {choice.losses[name]:.2f} points alone (AP vs float)'
        lines.append(f'  {name}: {why}')
    return '\n'.join(lines)
