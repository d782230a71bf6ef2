"""What a training will take, by what earlier ones took on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from .app import Playground
from .forms import base_of, defaults

FIRST = 20  # records of a log that are looked at
ALIKE = (  # what an iteration's cost depends on
    'arch',
    'pooler_resolution',
    'normalisation',
    'frozen_stages',
    'frozen_region_stage',
    'train_proposals_before_nms',
    'train_proposals_after_nms',
    'batch_size',
    'augmentation',
)


class Cost(NamedTuple):
    """What an iteration took.

    Attributes:
        run: The name of the run.
        seconds: Of an iteration.
        memory: MiB of the GPU at most; None where the log has none.
    """

    run: str
    seconds: float
    memory: int | None


def find_cost(
    playground: Playground, settings: Mapping[str, Any]
) -> Cost | None:
    """Return what an iteration took in the latest run that is alike.

    Args:
        playground: Whose runs are looked through; not those by hand.
        settings: Of the run that may be begun: data, masks and values.
    """
    wanted = _alike(settings)
    for name, run in playground.runs().items():
        if run.by_hand or _alike(run.values()) != wanted:
            continue
        records = playground.log(run)[0][:FIRST]
        times = [r['time'] for r in records if 'time' in r]
        memory = [r['memory'] for r in records if 'memory' in r]
        if times:
            return Cost(name, median(times), max(memory, default=None))
    return None


def _alike(settings: Mapping[str, Any]) -> tuple | None:
    """Return what runs must have in common; None where it is not known."""
    if 'values' not in settings:
        return None
    base = base_of(settings['data'], settings['masks'])
    values = defaults(base) | settings['values']
    return (base, *(values[name] for name in ALIKE))


def describe(cost: Cost | None, iterations: int) -> str:
    """Return what a training will take, or that it is not known."""
    if cost is None:
        return (
            'Time and memory are not known: no run here had this network, '
            'batch and augmentation. The page of the run tells the time '
            'left, after its first iterations.'
        )
    memory = (
        f'{cost.memory} MB of the GPU'
        if cost.memory
        else 'memory is not known: its log has none, as without a GPU'
    )
    return (
        f'About {duration(cost.seconds * iterations)}, and evaluations: '
        f'an iteration of run {cost.run}, which is alike, took '
        f'{cost.seconds:.2f} s here; {memory}.'
    )


def duration(seconds: float) -> str:
    """Return a time in words."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f'{seconds:.0f} s'
    return f'{minutes} min' if minutes < 120 else f'{minutes / 60:.1f} h'
