"""Whether a difference of AP is more than what seeds make."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

NOISE = 0.025  # AP by which two seeds of one config differed (docs/speed.md)


def without_seed(settings: Mapping[str, Any]) -> str:
    """Return what runs have in common that differ in the seed alone.

    Args:
        settings: Of a run: data, masks and values.
    """
    values = {**settings.get('values', {}), 'seed': None}
    return json.dumps({**settings, 'values': values}, sort_keys=True)


def verdict(one: Sequence[float], other: Sequence[float]) -> str:
    """Return what two sets of AP say of each other, in a sentence.

    Args:
        one: AP of the same settings with different seeds.
        other: Likewise, of other settings.
    """
    gap = abs(fmean(one) - fmean(other))
    said = f'{_mean(one)} and {_mean(other)}: '
    if min(len(one), len(other)) > 1:
        error = math.hypot(_error(one), _error(other))
        if gap > 2 * error:
            return f'{said}{gap:.3f} apart, more than two standard errors.'
        return (
            f'{said}{gap:.3f} apart, within two standard errors '
            f'({2 * error:.3f}): seeds alone may make it.'
        )
    if gap < NOISE:
        return (
            f'{said}{gap:.3f} apart. Two seeds of one config have differed by '
            f'{NOISE}: train each with further seeds before you choose.'
        )
    return (
        f'{said}{gap:.3f} apart, more than two seeds of one config have been '
        f'({NOISE}); further seeds of each would tell for sure.'
    )


def _mean(scores: Sequence[float]) -> str:
    if len(scores) == 1:
        return f'AP {scores[0]:.3f} (one run)'
    return (
        f'AP {fmean(scores):.3f} ± {_error(scores):.3f} ({len(scores)} seeds)'
    )


def _error(scores: Sequence[float]) -> float:
    return stdev(scores) / math.sqrt(len(scores))
