"""What a search takes: trainings, hours, disk."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..training.logs import read_records
from .files import Files
from .jobs import last_lines
from .options import Options
from .records import Request
from .results import as_job

SAMPLE = 20  # iterations, by which the time of a training is estimated
_COPIES = 4  # of the weights in a checkpoint: average, optimizer's two
_GIGABYTE = 1e9


def further_seeds(options: Options) -> int:
    """Return how many trainings the finalists and the baseline add."""
    return (options.finalists + 1) * (options.seeds - 1)


def check_disk(cfg: Config, options: Options, folder: Path) -> None:
    """Refuse to begin where the checkpoints of the trials have no room.

    Raises:
        ValueError: There is too little.
    """
    needed = _bytes(cfg) * (options.trials + further_seeds(options))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f'work_dir={str(folder)!r} has {free / _GIGABYTE:.1f} GB free '
            f'and the trials take about {needed / _GIGABYTE:.1f} GB; make '
            'room, lower search.trials, or give another --work-dir'
        )


def estimate(
    cfg: Config, options: Options, files: Files, runner: Any
) -> Iterator[str]:
    """Train the baseline for some iterations; yield what a search takes.

    Raises:
        ValueError: The training failed.
    """
    count = min(SAMPLE, options.length)
    request = Request(0, (), 0, count)
    ((job, ended),) = runner.run([as_job(request, True, files, options)])
    if ended.status:
        raise ValueError(
            f'the baseline cannot be trained: {last_lines(Path(job.folder))}'
        )
    records = [r for r in read_records(Path(job.folder)) if 'iter' in r]
    step = fmean(record['time'] for record in records[-count // 2 :])
    whole = ended.seconds + (options.length - count) * step
    trials = options.trials + further_seeds(options)
    hours = math.ceil(trials / runner.slots) * whole / 3600
    yield f'{options.trials} trials, {further_seeds(options)} further seeds'
    yield (
        f'about {hours:.1f} h: {whole:.0f} s for the baseline, '
        f'{runner.slots} trainings at a time'
        + (f', at most {options.hours} h' if options.hours else '')
    )
    yield f'about {_bytes(cfg) * trials / _GIGABYTE:.1f} GB'


def count_trained(events: Sequence[Mapping[str, Any]]) -> int:
    """Return how many trials results are of, without those over the limit."""
    return len({e['number'] for e in events if e['status'] != 'over'})


def seconds_left(
    events: Sequence[Mapping[str, Any]], options: Options, slots: int
) -> float:
    """Return how long a search still takes, from its results so far.

    Args:
        events: The results of the state.
        options: Of the search.
        slots: Trainings at a time.
    """
    trained = [event['seconds'] for event in events if event['seconds']]
    left = options.trials + further_seeds(options) - count_trained(events)
    return fmean(trained or [0.0]) * max(0, left) / slots


def _bytes(cfg: Config) -> int:
    """Return the size of a checkpoint of the baseline."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(copy.deepcopy(cfg.model))
    return 4 * _COPIES * sum(p.numel() for p in model.parameters())
