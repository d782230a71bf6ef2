"""What candidates cost, and the limits to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmengine.config import Config

from ..errors import SettingError
from .files import Files
from .options import Options, share_of
from .records import Candidate, Request
from .space import Space
from .state import State
from .widths import is_exported

Costs = dict[str, float]


class Meter:
    """Finds out what candidates cost, once each.

    Args:
        cfg: The user's config.
        options: Of the search.
        space: Of the candidates.
        files: Of the search.
        state: Is given the costs.
    """

    def __init__(
        self,
        cfg: Config,
        options: Options,
        space: Space,
        files: Files,
        state: State,
    ) -> None:
        self._cfg, self._options, self._space = cfg, options, space
        self._files, self._state = files, state
        self._stopwatch = None

    def measure(self, requests: Sequence[Request]) -> None:
        """Find out what new candidates cost; their configs are written."""
        known = {t.candidate: t.costs for t in self._state.trials()}
        if found := self._state.of('extremes'):
            known[self._space.baseline] = found[-1]['baseline']
        new = [r for r in requests if self._state.costs(r.number) is None]
        fresh = [r for r in new if r.candidate not in known]
        configs = [self._files.load(r.number) for r in fresh]
        candidates = [r.candidate for r in fresh]
        found = self._costs(candidates, configs)
        known |= dict(zip(candidates, found, strict=True))
        for request in new:
            costs = known[request.candidate]
            self._state.add('costs', number=request.number, costs=costs)

    def limit(self) -> dict[str, float]:
        """Return the highest costs, in numbers.

        Raises:
            SettingError: Nothing meets them, or everything; the message has
                the smallest costs that there are.
        """
        given = self._options.limit
        if not given:
            return {}
        found = self._state.of('extremes')
        if not found or given.keys() - found[-1]['smallest']:
            found = [self._extremes()]
        base = found[-1]['baseline']
        limit = {
            name: share * base[name] if (share := share_of(value)) else value
            for name, value in given.items()
        }
        check_limit(limit, found[-1]['smallest'], found[-1]['largest'])
        return limit

    def _extremes(self) -> dict[str, Costs]:
        candidates = dict(
            smallest=extreme(self._space, min),
            largest=extreme(self._space, max),
            baseline=self._space.baseline,
        )
        configs = [
            self._files.write_candidate(name, candidate)
            for name, candidate in candidates.items()
        ]
        found = self._costs([*candidates.values()], configs)
        costs = dict(zip(candidates, found, strict=True))
        self._state.add('extremes', **costs)
        return costs

    def _costs(
        self, candidates: Sequence[Candidate], configs: Sequence[Config]
    ) -> list[Costs]:
        costs = [counted(self._space, candidate) for candidate in candidates]
        if 'latency' in self._options.limit and configs:
            for cost, time in zip(costs, self._times(configs), strict=True):
                cost['latency'] = time
        return costs

    def _times(self, configs: Sequence[Config]) -> list[float]:
        """Return milliseconds."""
        from .measure import Stopwatch  # needs what exports

        if self._stopwatch is None:
            found = self._state.of('extremes')
            known = found[-1]['baseline'].get('latency') if found else None
            self._stopwatch = Stopwatch(self._cfg, self._options, known)
        return self._stopwatch.measure(configs)


def counted(space: Space, candidate: Candidate) -> Costs:
    """Return MACs and parameters, of an architecture that is searched."""
    if space.form is None:
        return {}
    cost = space.total(candidate)
    return dict(macs=cost.macs, params=cost.params)


def extreme(space: Space, choose: Callable) -> Candidate:
    """Return the candidate of the fewest or of the most MACs.

    Each gene has its best value in turn, beginning with the baseline's. Where
    no rows are searched, widths stand for MACs.

    Args:
        space: Of the candidates.
        choose: ``min`` or ``max``.
    """
    candidate = space.baseline
    for place, gene in enumerate(space.genes):
        values = gene.choices or gene.bounds or ()
        others = [
            (*candidate[:place], value, *candidate[place + 1 :])
            for value in values
        ]
        candidate = choose([candidate, *others], key=lambda c: _work(space, c))
    return candidate


def _work(space: Space, candidate: Candidate) -> float:
    if space.form is not None:
        return space.total(candidate).macs
    return sum(
        feature
        for gene, value in zip(space.genes, candidate, strict=True)
        if is_exported(gene.name)
        for feature in gene.features(value)
    )


def check_limit(
    limit: Mapping[str, float], smallest: Costs, largest: Costs
) -> None:
    """Refuse a limit that nothing in the space meets, or everything.

    Args:
        limit: By name.
        smallest: Costs of the smallest candidate.
        largest: Costs of the largest.

    Raises:
        SettingError: There is one.
    """
    for name, value in limit.items():
        low, high = (
            min(smallest[name], largest[name]),
            max(smallest[name], largest[name]),
        )
        if value < low:
            raise SettingError(
                f'search.limit.{name}={value:g} is met by nothing: the '
                f'smallest candidate has {low:g}; raise it, or widen '
                'search.space'
            )
        if value >= high:
            raise SettingError(
                f'search.limit.{name}={value:g} is met by everything: the '
                f'candidates have from {low:g} to {high:g}; lower it, or '
                'leave it out'
            )


def meets(limit: Mapping[str, float], costs: Mapping[str, float]) -> bool:
    """Whether costs are within a limit."""
    return all(costs[name] <= value for name, value in limit.items())
