"""Optuna's TPE in a replay, as a rival (``pip install optuna``).

It knows what a search has tried, and as a constraint the MACs beyond the
limit. A table has not every candidate that it might suggest: either the
nearest of the table is taken, or the sampler's own densities order the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, create_trial

from fbnetv3_mmdet.search.genes import Gene
from fbnetv3_mmdet.search.records import Candidate
from fbnetv3_mmdet.search.space import Space

ASKED = 20  # suggestions beyond the limit, until one of them is taken


class Rival:
    """A study that knows some trials.

    Args:
        space: Of the candidates.
        candidates: That were trained.
        scores: Their AP.
        limit: Of MACs.
        seed: Of the sampler.
    """

    def __init__(
        self,
        space: Space,
        candidates: Sequence[Candidate],
        scores: Sequence[float],
        limit: float,
        seed: int,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._limit = space, limit
        self._axes = {gene.name: _axis(gene) for gene in space.genes}
        self._sampler = _Sampler(
            n_startup_trials=0, constant_liar=True, seed=seed
        )
        self._study = optuna.create_study(
            direction='maximize', sampler=self._sampler
        )
        for candidate, score in zip(candidates, scores, strict=True):
            self._study.add_trial(self._trial(candidate, score))

    def suggest(self) -> Candidate:
        """Return what it would try next, within the limit where it can."""
        for _ in range(ASKED):
            trial = self._study.ask(self._axes)
            candidate = tuple(
                gene.choices[value] if gene.choices else value
                for gene in self._space.genes
                for value in (trial.params[gene.name],)
            )
            if self._beyond(candidate) <= 0:
                break
            trial.set_constraint('macs', self._beyond(candidate))
            self._study.tell(trial, 0.0)
        return candidate

    def order(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Return how much likelier each is among the good than the others."""
        self._study.ask(self._axes)
        columns = np.array([*map(self._place, candidates)]).T
        return self._sampler.order(dict(zip(self._axes, columns, strict=True)))

    def _place(self, candidate: Candidate) -> list[float]:
        """Return the value of each gene, of choices its number."""
        return [
            gene.choices.index(value) if gene.choices else value
            for gene, value in zip(self._space.genes, candidate, strict=True)
        ]

    def _beyond(self, candidate: Candidate) -> float:
        return self._space.total(candidate).macs / self._limit - 1

    def _trial(self, candidate: Candidate, score: float) -> FrozenTrial:
        return create_trial(
            value=score,
            params=dict(zip(self._axes, self._place(candidate), strict=True)),
            distributions=self._axes,
            constraints={'macs': self._beyond(candidate)},
        )


class _Sampler(TPESampler):
    """Keeps the densities that the last suggestion was drawn from."""

    def _compute_acquisition_func(  # of optuna 5.0
        self, samples: Mapping[str, np.ndarray], below: Any, above: Any
    ) -> np.ndarray:
        self._densities = below, above
        return super()._compute_acquisition_func(samples, below, above)

    def order(self, points: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return what it maximizes, of points of its own."""
        return self._compute_acquisition_func(points, *self._densities)


def _axis(gene: Gene) -> BaseDistribution:
    if not gene.choices:
        return FloatDistribution(*gene.bounds, log=gene.log)
    count = len(gene.choices)
    if gene.is_number:
        return IntDistribution(0, count - 1)
    return CategoricalDistribution(range(count))
