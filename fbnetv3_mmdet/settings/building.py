"""Says which part of a config could not be built."""

from __future__ import annotations

import itertools
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.registry import build_from_cfg
from mmengine.runner import BaseLoop

from .paths import as_list, find_dicts

# What settings of a wrong type, range or combination raise in code that does
# not check them. Anything else keeps its traceback.
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


# What to do, by a phrase of the error.
_REMEDIES = {
    'is not in the': 'correct the type, or import the module that defines it '
    'there, with custom_imports',
    'keyword argument': 'correct the keys beside this type',
    'should be a dict': 'give a dict with a type there',
    '': 'correct these settings',
}


@contextmanager
def named_errors(cfg: Config | Mapping) -> Iterator[None]:
    """Name the part of a config that an error came from while it was built.

    Args:
        cfg (Config | dict): What MMEngine's registries build inside. Errors
            of checks, and of iterations that have begun, pass as they are.

    Raises:
        ValueError: A part could not be built: its dotted path, its settings
            and what was wrong, in one line.
    """
    settings = cfg.to_dict() if isinstance(cfg, Config) else cfg
    try:
        yield
    except _MISTAKES as error:
        built = list(_built(error))
        if not built:
            raise
        raise ValueError(_describe(settings, built, error)) from error


def _built(error: Exception) -> Iterator[Any]:
    """Yield the configs that were being built, the outermost first."""
    frames = traceback.walk_tb(error.__traceback__)
    if isinstance(error, TypeError) and error.__context__ is not None:
        # MMEngine raises those of hooks anew
        inner = traceback.walk_tb(error.__context__.__traceback__)
        frames = itertools.chain(frames, inner)
    for frame, _ in frames:
        code = frame.f_code
        if code is build_from_cfg.__code__:
            yield frame.f_locals['cfg']
        elif code.co_name == 'run' and isinstance(
            frame.f_locals.get('self'), BaseLoop
        ):
            return


def _describe(settings: Mapping, built: list[Any], error: Exception) -> str:
    place, node = _find(settings, built)
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    text = ' '.join(text.partition('. Please check')[0].split())
    own = re.match(r'(\w+)( [\w\[\]]+)?=', text)
    if own and own[1] in node:  # a check of the module's own
        return f'{place}.{text}'
    shown = {key: value for key, value in node.items() if _is_flat(value)}
    remedy = next(r for phrase, r in _REMEDIES.items() if phrase in text)
    return (
        f'{place} cannot be built of {shown}: {type(error).__name__}: {text}; '
        f'{remedy}'
    )


def _find(settings: Mapping, built: list[Any]) -> tuple[str, Mapping]:
    """Return path and settings of the innermost part, or of one around it."""
    place, node = '', settings
    parts = list(find_dicts(settings, ''))
    for cfg in filter(_is_dict, built):
        alike = [p for p in parts if p[1].get('type') == cfg.get('type')]
        inside = [p for p in alike if p[0].startswith(place)]
        place, node = max(
            inside or alike or parts,
            key=lambda part: _likeness(part[1], cfg),
        )
    return place, node


def _likeness(node: Mapping, built: Mapping) -> int:
    """Count settings in common; a builder may add some and take some away."""
    same = [
        key in built and (built[key] is value or built[key] == value)
        for key, value in node.items()
    ]
    return 2 * sum(same) - len(same)


def _is_flat(value: Any) -> bool:
    """Whether a setting is none that is built by itself."""
    values = value.values() if _is_dict(value) else as_list(value)
    return not any(map(_is_dict, values))


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)
