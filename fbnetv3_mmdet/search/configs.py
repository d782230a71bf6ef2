"""Candidates as configs that inherit the user's."""

from __future__ import annotations

import os
import pprint
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..cli import load_config
from ..errors import SettingError, text_of
from ..files import complete_file
from ..paths import is_list
from ..training.settings import check_settings

ARCH = 'model.arch'


def value_at(cfg: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path, whose lists have numbers.

    Raises:
        ValueError: There is none.
    """
    node: Any = cfg
    for key in path.split('.'):
        try:
            node = node[int(key) if is_list(node) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise SettingError(
                f'search.space.recipe[{path!r}] is no setting of the config, '
                f'which has no {key!r} there; give the dotted path of one'
            ) from None
    return node


def changed(cfg: Config, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config that inherits ``cfg`` has to say.

    Lists are whole, as a config replaces those of its base, and a dict that
    takes the place of a value is marked so.

    Args:
        cfg: The user's config.
        settings: Values by dotted path.

    Returns:
        dict: Plain, nested, by top-level name.
    """
    whole = cfg.to_dict()
    says: dict[str, Any] = {}
    for path, value in settings.items():
        node, place, keys = whole, says, path.split('.')
        while len(keys) > 1 and not is_list(node.get(keys[0])):
            key = keys.pop(0)
            node = node.setdefault(key, {})
            place = place.setdefault(key, {})
        if len(keys) == 1:
            node[keys[0]] = value
            is_dict = isinstance(value, Mapping)
            place[keys[0]] = {'_delete_': True, **value} if is_dict else value
        else:
            _set(node[keys[0]], keys[1:], value)
            place[keys[0]] = node[keys[0]]
    return says


def write_config(
    path: Path, cfg: Config, settings: Mapping[str, Any], remark: str
) -> None:
    """Write a config that inherits the user's, with some settings changed.

    Args:
        path: Where to.
        cfg: The user's config.
        settings: Values by dotted path.
        remark: Its first line, a comment.
    """
    base = os.path.relpath(cfg.filename, path.parent)
    lines = [f'# {remark}', f'_base_ = {base!r}', '']
    for name, value in changed(cfg, settings).items():
        text = pprint.pformat(value, width=78, compact=True, sort_dicts=False)
        lines.append(f'{name} = {text}')
    with complete_file(path) as part:
        part.write_text('\n'.join(lines) + '\n')


def check_config(path: Path, said: str) -> Config:
    """Return the config in a file, checked as before a training.

    Args:
        path: A candidate's.
        said: What the candidate changes, for the error.

    Raises:
        SettingError: A check refuses it.
    """
    cfg = load_config(str(path))
    try:
        check_settings(cfg, ('train', 'val'))
    except ValueError as error:
        raise SettingError(
            f'search.space leads to a candidate that is refused ({said}): '
            f'{text_of(error)}'
        ) from error
    return cfg


def check_kept(cfg: Config, settings: Mapping[str, Any]) -> None:
    """Check that a candidate's config has the values that it was given.

    Raises:
        SettingError: One was replaced, for it follows other settings.
    """
    whole = cfg.to_dict()
    for path, value in settings.items():
        found = value_at(whole, path)
        if found != value:
            raise SettingError(
                f'search.space.recipe[{path!r}] cannot be {value!r}, which '
                f'follows other settings of the config and becomes {found!r} '
                '(docs/configs.md, "One setting for one thing"); take a '
                'value beside it'
            )


def _set(node: Any, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        node = node[int(key) if is_list(node) else key]
    last = int(keys[-1]) if is_list(node) else keys[-1]
    node[last] = value
