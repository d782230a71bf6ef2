"""What a search knows: candidates, trials to run and trials that ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# The value of each gene of a space, in its order; plain JSON.
Candidate = tuple[Any, ...]


class Request(NamedTuple):
    """A training that a search asks for.

    Attributes:
        number: Of the trial; a request for more iterations repeats it.
        candidate: What to train.
        seed: Of the training.
        iterations: Where to stop; the schedule is always that of a whole
            training. 0: only to measure what the candidate costs.
    """

    number: int
    candidate: Candidate
    seed: int
    iterations: int


class Trial(NamedTuple):
    """A training that a search ran, so far.

    Attributes:
        number: From 0 on, in the order of the requests; 0 is the baseline.
        candidate: What was trained.
        seed: Of the training.
        scores: AP on val, from 0 to 1, by the iteration of the evaluation.
        costs: By name: ``latency`` in ms, ``macs``, ``params``.
        status: 'done'; 'nan' where the loss was not finite, which is a score
            of 0; 'failed' where it crashed each time it was tried; 'over'
            where it was measured to be beyond the limit, and not trained.
    """

    number: int
    candidate: Candidate
    seed: int
    scores: Mapping[int, float]
    costs: Mapping[str, float]
    status: str = 'done'

    def score(self, iterations: int) -> float | None:
        """Return the AP at an iteration, None where it was not reached."""
        return 0.0 if self.status == 'nan' else self.scores.get(iterations)
