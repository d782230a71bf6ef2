"""Datasets inside their wrappers, in a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(
    dataset: Any, path: str = 'dataset'
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield dotted path and config of each dataset that wraps no other.

    MMEngine's wrappers have their ``dataset``, or a list of ``datasets``.

    Args:
        dataset: Config of a dataset, wrapped or not. What is no dict has
            none.
        path: Its own path.
    """
    if not isinstance(dataset, Mapping):
        return
    inner = {'dataset': dataset.get('dataset')}
    several = dataset.get('datasets')
    if isinstance(several, (list, tuple)):
        inner |= {f'datasets.{i}': one for i, one in enumerate(several)}
    inside = [(k, one) for k, one in inner.items() if isinstance(one, Mapping)]
    if not inside:
        yield path, dataset
    for key, one in inside:
        yield from leaves(one, f'{path}.{key}')
