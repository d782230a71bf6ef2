"""From a request to a training, and from a training to its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..training.logs import read_records
from .files import Files
from .jobs import Job, last_lines
from .options import Options
from .records import Request

_NAN = 'nothing of it was saved; try a lower'  # FiniteLossHook's line
Result = dict[str, Any]


def as_job(
    request: Request, begun: bool, files: Files, options: Options
) -> Job:
    """Return the training that is asked for, or how it goes on.

    The first training of a candidate that is asked for as a whole is
    evaluated at all rungs, any other where it is to pause.

    Args:
        request: What is asked for.
        begun: Whether the trial has a result already.
        files: Of the search.
        options: Of the search.
    """
    at = request.iterations
    whole = at == options.length
    judged = whole and not begun and not request.seed
    settings: dict[str, Any] = {
        'train_cfg.val_begin': options.rungs[0] if judged else at,
        'train_cfg.val_interval': max(1, options.length // 6),
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }
    if not whole:
        settings['default_hooks.pause.type'] = 'PauseHook'
        settings['default_hooks.pause.at'] = at
    return Job(
        request.number,
        str(files.config(request.number)),
        str(files.work_dir(request.number)),
        {path: str(value) for path, value in settings.items()},
    )


def read_result(
    request: Request, status: int, files: Files, metric: str
) -> Result | None:
    """Return the result of a training, None where it crashed.

    Args:
        request: What was asked for.
        status: Exit status of the training.
        files: Of the search.
        metric: The logged value that counts.
    """
    folder = files.work_dir(request.number)
    if status:
        is_nan = _NAN in last_lines(folder)
        return as_result(request, 'nan') if is_nan else None
    scores = {
        record['step']: max(0.0, record[metric])
        for record in read_records(folder)
        if metric in record and record['step'] <= request.iterations
    }
    # MMDetection gives what detects nothing at all no AP
    scores.setdefault(request.iterations, 0.0)
    rounded = {at: round(ap, 4) for at, ap in sorted(scores.items())}
    return as_result(request, 'done', rounded)


def as_result(
    request: Request, status: str, scores: Mapping[int, float] | None = None
) -> Result:
    """Return a result as the state has it."""
    return dict(
        number=request.number,
        iterations=request.iterations,
        scores=scores or {},
        status=status,
        seconds=0.0,
    )


def in_words(result: Result, costs: Mapping[str, float]) -> str:
    """Return a line about a result."""
    said = [f't{result["number"]:03d}']
    if scores := result['scores']:
        at = max(scores)
        said.append(f'AP {scores[at]:.3f} at {at}')
    if result['status'] != 'done':
        said.append(result['status'])
    said += [figure(name, value) for name, value in costs.items()]
    if result['seconds']:
        said.append(f'{result["seconds"]:.0f} s')
    return '  '.join(said)


def figure(name: str, value: float) -> str:
    """Return a cost in words."""
    return {
        'latency': f'{value:.2f} ms',
        'macs': f'{value / 1e6:.1f} MMACs',
        'params': f'{value / 1e6:.2f} M parameters',
    }[name]
