"""What trials say together: means over seeds, the best, the front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from scipy.stats import spearmanr

from .limits import meets
from .options import LIMITS, Options
from .records import Candidate, Trial


class Result(NamedTuple):
    """A candidate that was trained to its end, with one seed or several.

    Attributes:
        number: Of its first trial.
        candidate: What was trained.
        scores: AP at the end, by the order of the seeds.
        costs: As of a trial.
    """

    number: int
    candidate: Candidate
    scores: tuple[float, ...]
    costs: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean AP."""
        return fmean(self.scores)

    @property
    def error(self) -> float | None:
        """Standard error of the mean, None for one seed."""
        count = len(self.scores)
        return stdev(self.scores) / math.sqrt(count) if count > 1 else None


def results_of(trials: Sequence[Trial], length: int) -> list[Result]:
    """Return the candidates that were trained to the end."""
    found: dict[Candidate, Result] = {}
    for trial in trials:
        score = trial.score(length)
        if score is None or trial.status in ('failed', 'over'):
            continue
        before = found.get(trial.candidate)
        if before is None:
            found[trial.candidate] = Result(
                trial.number, trial.candidate, (score,), dict(trial.costs)
            )
        else:
            scores = (*before.scores, score)
            found[trial.candidate] = before._replace(scores=scores)
    return list(found.values())


def best_of(results: Sequence[Result], options: Options) -> Result | None:
    """Return the best within the limit.

    Those with the most seeds are compared: the highest of many single
    trainings is high by chance.
    """
    within = [r for r in results if meets(options.limit, r.costs)]
    if not within:
        return None
    most = max(len(r.scores) for r in within)
    sure = [r for r in within if len(r.scores) == most]
    return max(sure, key=lambda result: result.mean)


def axis_of(options: Options, results: Sequence[Result]) -> str | None:
    """Return the cost that the front is drawn over, None without any."""
    known = results[0].costs if results else {}
    return next((n for n in (*options.limit, *LIMITS) if n in known), None)


def front_of(results: Sequence[Result], axis: str | None) -> list[Result]:
    """Return those than which none is both cheaper and better.

    Args:
        results: Of candidates.
        axis: The cost; None: the best alone is the front.
    """
    front: list[Result] = []
    for result in sorted(
        results, key=lambda r: (r.costs[axis] if axis else 0, -r.mean)
    ):
        if not front or axis and result.mean > front[-1].mean:
            front.append(result)
    return front


def is_better(one: Result, other: Result) -> bool | None:
    """Whether one's AP is higher by more than two standard errors.

    It is None where one of them has one seed only.
    """
    if one.error is None or other.error is None:
        return None
    return one.mean - other.mean > 2 * math.hypot(one.error, other.error)


def correlations(
    trials: Sequence[Trial], options: Options
) -> dict[int, tuple[float, int]]:
    """Return how far early ranks are those of the end.

    Returns:
        dict: By iteration Spearman's correlation with the AP at the end, and
        of how many trials.
    """
    found = {}
    for rung in options.rungs[:-1]:
        pairs = [
            (trial.scores[rung], trial.scores[options.length])
            for trial in trials
            if {rung, options.length} <= trial.scores.keys()
        ]
        if len(pairs) > 2:
            found[rung] = rank_of(pairs), len(pairs)
    return found


def rank_of(pairs: Sequence[tuple[float, float]]) -> float:
    """Return Spearman's correlation, 0 where all of one side are equal."""
    if any(len({*side}) < 2 for side in zip(*pairs, strict=True)):
        return 0.0
    return float(spearmanr(pairs).statistic)
