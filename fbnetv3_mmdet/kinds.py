"""Kinds of values that a setting can have."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from .paths import is_list


class Kind(NamedTuple):
    """Values that are allowed, and what a message calls them."""

    words: str
    accepts: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        """Return the kind of values that are of either."""
        return Kind(
            f'{self.words} or {other.words}',
            lambda value: self.accepts(value) or other.accepts(value),
        )


def integer(low: int, words: str = '') -> Kind:
    """Return the kind of integers from ``low`` on; no bool is one."""
    return Kind(
        words or f'an integer of at least {low}',
        lambda value: type(value) is int and value >= low,
    )


def number(low: float, high: float = math.inf, words: str = '') -> Kind:
    """Return the kind of finite numbers from ``low`` to ``high``."""
    return Kind(
        words or f'a number from {low} to {high}',
        lambda value: is_number(value) and low <= value <= high,
    )


def one_of(values: Collection) -> Kind:
    """Return the kind of a choice."""
    return Kind(
        f'one of {list(values)}',
        # True would equal 1
        lambda value: any(
            type(value) is type(v) and value == v for v in values
        ),
    )


def list_of(kind: Kind, *lengths: int) -> Kind:
    """Return the kind of lists, of any length but 0 if none is given."""
    count = ' or '.join(map(str, lengths)) or 'one or more'
    return Kind(
        f'a list of {count}, each {kind.words}',
        lambda value: (
            is_list(value)
            and (len(value) in lengths if lengths else len(value) > 0)
            and all(map(kind.accepts, value))
        ),
    )


def pair_of(kind: Kind) -> Kind:
    """Return the kind of tuples of two."""
    return Kind(
        f'a tuple of 2, each {kind.words},',
        lambda value: (
            isinstance(value, tuple)
            and len(value) == 2
            and all(map(kind.accepts, value))
        ),
    )


def nested(kind: Kind) -> Kind:
    """Return the kind of lists, at any depth, of a kind of values."""

    def accepts(value: Any) -> bool:
        return (
            is_list(value)
            and all(kind.accepts(v) or accepts(v) for v in value)
            and len(value) > 0
        )

    return Kind(f'a list, each {kind.words}', accepts)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; no bool is one."""
    return type(value) in (int, float) and math.isfinite(value)


NONE = Kind('None', lambda value: value is None)
DICT = Kind('a dict', lambda value: isinstance(value, dict))
LIST = Kind('a list', is_list)
PATH = Kind('a path', lambda value: isinstance(value, (str, os.PathLike)))
BOOL = one_of((True, False))
NUMBER = Kind('a finite number', is_number)
# float32 holds no smaller one to its full precision, nor much larger ones
POSITIVE = number(1e-37, 1e37, 'a positive number of at most 1e37')
NON_NEGATIVE = number(0, 1e37, 'a number from 0 to 1e37')
FRACTION = number(0, 1)
# of two numbers MMDetection ignores what overlaps by less than the first
LOWER_BOUND = FRACTION | pair_of(FRACTION)
NUMBERS = list_of(POSITIVE)
COUNT = integer(1, 'a positive integer')
# as a calculation such as ``images / batch_size`` gives
WHOLE = Kind(
    COUNT.words,
    lambda value: is_number(value) and value >= 1 and value % 1 == 0,
)
COUNT_OR_ALL = COUNT | one_of((-1,))
COUNT_OR_NONE = integer(0)
POOLER = integer(2)
PATH_OR_NONE = (
    Kind(
        'the path or URL of a checkpoint, `d2go://NAME`, `d2go://PATH`',
        PATH.accepts,
    )
    | NONE
)
ARCH = Kind(
    'a name that `tools/browse_archs.py` lists, a dict of rows '
    '(`fbnetv3_mmdet/archs.py`; over a base that has a name, with '
    '`_delete_=True`), or the path of a JSON file of rows',
    lambda value: isinstance(value, (str, dict)),
)
NORM = Kind(
    "a dict with type `BN`, `SyncBN`, `NaiveSyncBN` (`stats_mode='N'` where "
    'batches differ) or `GN` (with `num_groups=8`)',
    lambda value: isinstance(value, dict) and 'type' in value,
)
