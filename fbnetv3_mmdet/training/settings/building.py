"""Says which part of a config could not be built."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.registry import build_from_cfg

from ...errors import (
    SettingError,
    as_report,
    frames,
    is_loop,
    is_users_bug,
    text_of,
)
from ...paths import as_list, find_dicts

# What settings of a wrong type, range or combination raise in code that does
# not check them. Anything else keeps its traceback.
MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def named_errors(cfg: Config | Mapping) -> Iterator[None]:
    """Name the part of a config that an error came from while it was built.

    Args:
        cfg (Config | dict): What MMEngine's registries build inside. Errors
            of checks, of iterations that have begun and bugs in a user's own
            modules pass as they are.

    Raises:
        ValueError: A part could not be built: its dotted path, its settings
            and what was wrong, in one line.
    """
    settings = cfg.to_dict() if isinstance(cfg, Config) else cfg
    try:
        yield
    except MISTAKES as error:
        built = list(_built(error))
        if not built or is_users_bug(error):
            raise
        raise SettingError(_describe(settings, built, error)) from error


def _built(error: Exception) -> Iterator[Any]:
    """Yield the configs that were being built, the outermost first."""
    passed = frames(error)
    if isinstance(error, TypeError) and error.__context__ is not None:
        # MMEngine raises those of hooks anew
        passed = itertools.chain(passed, frames(error.__context__))
    for frame in itertools.takewhile(lambda f: not is_loop(f), passed):
        if frame.f_code is build_from_cfg.__code__:
            yield frame.f_locals['cfg']


def _describe(settings: Mapping, built: list[Any], error: Exception) -> str:
    place, node = _find(settings, built)
    generic = text_of(error), 'correct these settings'
    text, remedy = as_report(error) or generic
    own = re.match(r'(\w+)( [\w\[\]]+)?=', text)
    if own and own[1] in node:  # a check of the module's own
        return f'{place}.{text}'
    shown = {key: value for key, value in node.items() if _is_flat(value)}
    fault = ': '.join(filter(None, (type(error).__name__, text)))
    return f'{place} cannot be built of {shown}: {fault}; {remedy}'


def _find(settings: Mapping, built: list[Any]) -> tuple[str, Mapping]:
    """Return path and settings of the innermost part, or of one around it."""
    place, node = '', settings
    parts = list(find_dicts(settings, ''))
    for cfg in filter(_is_dict, built):
        kind = cfg.get('type')
        alike = [p for p in parts if p[1].get('type') == kind]
        # as the ema_type of a hook is
        alike = alike or [p for p in parts[1:] if kind in p[1].values()]
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
