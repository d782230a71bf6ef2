"""Which candidates are likely to be within the limits, before measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from .limits import meets
from .options import Options
from .records import Candidate, Trial
from .space import Space

SHRUNK = 0.1  # towards a latency in proportion to MACs, of a fit to few
MARGIN = 1.05  # of the limit, for a latency that is estimated
GUESS = 0.7  # of the baseline's MACs, before any latency is known

Test = Callable[[Candidate], bool]


def promising(trials: Sequence[Trial], space: Space, options: Options) -> Test:
    """Return whether a candidate is likely to be within the limit.

    Args:
        trials: Whose latencies are known.
        space: Of the candidates.
        options: Of the search.
    """
    counted = {k: v for k, v in options.limit.items() if k != 'latency'}
    weights = None
    if 'latency' in options.limit:
        weights = _latency_model(trials, space)

    def fits(candidate: Candidate) -> bool:
        if counted and not meets(counted, space.total(candidate)._asdict()):
            return False
        if 'latency' not in options.limit:
            return True
        if weights is not None:
            time = float(_work(candidate, space) @ weights)
            return time <= MARGIN * options.limit['latency']
        if space.form is None:
            return True
        base = space.total(space.baseline)
        return space.total(candidate).macs <= GUESS * base.macs

    return fits


def _latency_model(trials: Sequence[Trial], space: Space) -> np.ndarray | None:
    """Fit measured latencies; None where there are none.

    Before anything is known they are in proportion to MACs, or where no rows
    are searched, all the same.
    """
    timed = [t for t in trials if 'latency' in t.costs]
    if not timed:
        return None
    work = np.array([_work(t.candidate, space) for t in timed])
    times = np.array([t.costs['latency'] for t in timed])
    prior = np.zeros(work.shape[1])
    main = 0 if space.form is None else 1
    prior[main] = median(times / work[:, main])
    scale = SHRUNK * np.diag((work**2).mean(0) + 1e-9)
    return prior + np.linalg.solve(
        work.T @ work + scale, work.T @ (times - work @ prior)
    )


def _work(candidate: Candidate, space: Space) -> np.ndarray:
    """Return what latency depends on: 1, MACs, blocks, squeeze-excite.

    Where no rows are searched: 1 and all genes.
    """
    arch = space.arch(candidate)
    if arch is None:
        return np.array([1.0, *space.features(candidate)])
    parts = (*arch.trunk, arch.rpn, arch.bbox)
    rows = [row for part in parts for row in part]
    gates = [row.repeats for row in rows if row.op.endswith('_se')]
    return np.array(
        [
            1.0,
            space.total(candidate).macs / 1e6,
            sum(row.repeats for row in rows),
            sum(gates),
        ]
    )
