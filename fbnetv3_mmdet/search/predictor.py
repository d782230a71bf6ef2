"""Predicts the AP of candidates from those that were trained.

A linear model of genes and of statistics that cost nothing. Of the predictors
that ``benchmarks/search_replay.py`` compares, the paper's network among them,
none was better by two standard errors; docs/search.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc
from sklearn.linear_model import RidgeCV

from .records import Candidate
from .space import Space

STRENGTHS = np.logspace(0, 4, 9)  # of the penalty, of which one is chosen


class Predictor:
    """A ridge regression that was fitted to some trials.

    Args:
        space: Of the candidates.
        candidates: That were trained.
        scores: Their AP.
    """

    def __init__(
        self,
        space: Space,
        candidates: Sequence[Candidate],
        scores: Sequence[float],
    ) -> None:
        self._space = space
        x = inputs(space, candidates)
        scale = x.std(0)
        self._mean, self._scale = x.mean(0), np.where(scale > 0, scale, 1)
        self._model = RidgeCV(STRENGTHS).fit(self._scaled(x), scores)

    def __call__(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Return the predicted AP of candidates."""
        return self._model.predict(
            self._scaled(inputs(self._space, candidates))
        )

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (x - self._mean) / self._scale


def statistics(space: Space, candidate: Candidate) -> list[float]:
    """Return what is known of a candidate for nothing.

    Logarithms of the MACs of trunk, RPN and box stage, and of all parameters,
    and the number of blocks; nothing where no architecture is searched.
    """
    arch = space.arch(candidate)
    if arch is None:
        return []
    costs = space.costs(candidate)
    rows = (*sum(arch.trunk, ()), *arch.rpn, *arch.bbox)
    macs = [np.log(cost.macs + 1) for cost in costs.values()]
    params = np.log(sum(cost.params for cost in costs.values()))
    return [*macs, params, sum(row.repeats for row in rows)]


def inputs(space: Space, candidates: Sequence[Candidate]) -> np.ndarray:
    """Return genes and statistics of candidates, (N, F)."""
    return np.array(
        [[*space.features(c), *statistics(space, c)] for c in candidates]
    )


def draw(space: Space, count: int, seed: int) -> list[Candidate]:
    """Return candidates that fill the space evenly (a Sobol sequence)."""
    points = qmc.Sobol(len(space.genes), seed=seed).random(count)
    return [
        tuple(
            gene.at(place)
            for gene, place in zip(space.genes, point, strict=True)
        )
        for point in points
    ]
