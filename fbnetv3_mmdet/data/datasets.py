"""Datasets in a config, inside their wrappers, and their transforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..paths import find_dicts


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


def find_dataset(cfg: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """Return the first dataset of a loader, out of any wrappers."""
    found = leaves((cfg.get(loader) or {}).get('dataset'))
    return next((node for _, node in found), {})


def find_transform(
    dataset: Mapping[str, Any], kind: str
) -> Mapping[str, Any] | None:
    """Return the first transform of a type in a dataset's pipeline."""
    for _, node in find_dicts(dataset.get('pipeline'), 'pipeline'):
        if node.get('type') == kind:
            return node
    return None


def image_hooks(cfg: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the settings of a config's hooks that check images."""
    return [
        hook
        for place in ('default_hooks', 'custom_hooks')
        for _, hook in find_dicts(cfg.get(place), place)
        if hook.get('type') == 'WholeImagesHook'
    ]


def find_brightest(cfg: Mapping[str, Any]) -> int | None:
    """Return which value of 16-bit pictures becomes white; None: 65535."""
    values = [hook.get('brightest') for hook in image_hooks(cfg)]
    return next(filter(None, values), None)
