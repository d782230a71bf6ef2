"""What a quantized file is worth, beside the float one."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from terminaltables import GithubFlavoredMarkdownTable
from tqdm import tqdm

from fbnetv3_runtime import BACKENDS, Detector

from .quantize_choice import Choice
from .quantize_measure import Truth, agreement, run


def compare(
    models: Sequence[str], files: Sequence[Path], truth: Truth | None
) -> str:
    """Return a table of files, run by each backend that is installed.

    Times are those of the median image, from its pixels to the boxes, with
    one thread.

    Args:
        models: A float file and what was made of it.
        files: Images to detect in.
        truth: What is in them, where that is known.
    """
    same, rows = None, []
    for backend in filter(importlib.util.find_spec, BACKENDS):
        for model in models:
            detector = Detector(model, backend, threads=1)
            found = run(detector, tqdm(files, f'{backend} {model}'))
            same = same or agreement(found.results)
            scores = truth.score(found.results) if truth else {}
            for key, value in same.score(found.results).items():
                scores[f'{key} vs float'] = value
            scores['ms'] = found.milliseconds
            scores['MB'] = os.path.getsize(model) / 1e6
            figures = [f'{value:.2f}' for value in scores.values()]
            rows.append([backend, model, *figures])
    table = GithubFlavoredMarkdownTable([['backend', 'file', *scores], *rows])
    return table.table


def explain(layers: Sequence[str], choice: Choice) -> str:
    """Return which of the layers stayed in float, and why."""
    kept = [name for name in layers if name not in choice.integers]
    lines = [f'{len(choice.integers)} of {len(layers)} layers are integers']
    if kept:
        lines[0] += '; in float are:'
    for name in kept:
        why = 'as asked'
        if name in choice.damages:
            why = (
                f'costs {choice.damages[name]:.2f} points alone (AP vs float)'
            )
        lines.append(f'  {name}: {why}')
    return '\n'.join(lines)
