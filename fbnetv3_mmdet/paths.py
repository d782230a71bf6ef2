"""Dotted paths into a config, as ``--cfg-options`` takes them."""

from collections.abc import Iterator, Mapping
from typing import Any


def get_setting(cfg: Mapping, path: str) -> Any:
    """Return the value at a dotted path, None where there is none."""
    for key in path.split('.'):
        if not isinstance(cfg, Mapping):
            return None
        cfg = cfg.get(key)
    return cfg


def find_dicts(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Yield every dict in ``node``, itself included, with its path."""
    if isinstance(node, Mapping):
        yield path, node
        children = node.items()
    else:
        children = enumerate(as_list(node)) if is_list(node) else ()
    for key, child in children:
        yield from find_dicts(child, join(path, key))


def join(path: str, key: str | int) -> str:
    """Return the path of ``key`` in what is at ``path``, '' for the whole."""
    return f'{path}.{key}' if path else str(key)


def as_list(value: Any) -> list:
    """Return a list or tuple as a list, anything else as a list of one."""
    return list(value) if is_list(value) else [value]


def is_list(value: Any) -> bool:
    """Return whether a value is a list or tuple."""
    return isinstance(value, (list, tuple))
