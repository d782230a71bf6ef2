"""One choice of a search: what it may be, and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..paths import is_list


class Gene(NamedTuple):
    """One choice.

    Attributes:
        name: Of the setting, or of a part of the architecture, such as
            ``trunk.1.0.kernel``: stage 1, group 0.
        choices: What it may be, in order; or None.
        bounds: Lowest and highest value of a number that may be any between.
        log: Whether the number is drawn by its logarithm.
    """

    name: str
    choices: tuple[Any, ...] | None = None
    bounds: tuple[float, float] | None = None
    log: bool = False

    def at(self, place: float) -> Any:
        """Return the value at a place from 0 to 1 (excluded)."""
        if self.choices:
            return self.choices[int(place * len(self.choices))]
        low, high = map(math.log, self.bounds) if self.log else self.bounds
        value = low + place * (high - low)
        return float(f'{math.exp(value) if self.log else value:.4g}')

    @property
    def is_number(self) -> bool:
        """Whether its values have an order, and distances."""
        return self.choices is None or all(
            type(value) in (int, float) for value in self.choices
        )

    def features(self, value: Any) -> list[float]:
        """Return a value as numbers, about from 0 to 1, for a predictor.

        Numbers are one feature; other choices are one each.
        """
        if not self.is_number:
            return [float(value == choice) for choice in self.choices]
        low, high = self.bounds or (self.choices[0], self.choices[-1])
        if self.log:
            low, high, value = map(math.log, (low, high, value))
        return [(value - low) / (high - low) if high > low else 0.0]


def recipe_gene(path: str, value: Any) -> Gene:
    """Return the gene of a setting.

    Args:
        path: Dotted path of the setting.
        value: A list of choices, ``dict(range=(low, high))`` or
            ``dict(log=(low, high))``.

    Raises:
        ValueError: It is none of these.
    """
    if is_list(value) and value:
        return Gene(path, tuple(value))
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, bounds),) = value.items()
        good = is_list(bounds) and len(bounds) == 2 and bounds[0] < bounds[1]
        if (
            kind in ('range', 'log')
            and good
            and (kind == 'range' or bounds[0] > 0)
        ):
            return Gene(path, None, tuple(bounds), kind == 'log')
    raise ValueError(
        f'search.space.recipe[{path!r}]={value!r} must be a list of values, '
        'dict(range=(low, high)) or dict(log=(low, high)) with 0 < low < '
        'high; give one'
    )
