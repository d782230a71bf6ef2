"""Rules for single settings: each against the kind that the table gives."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import SettingError
from ...kinds import BOOL, Kind
from ...paths import find_dicts, get_setting, join
from ...settings import SETTINGS_OF_USERS
from .classes import find_class, names_code
from .keys import SETTINGS
from .table import AT_PLACE, OF_TYPE

_DETECTORS = ('FBNetV3OD', 'FBNetV3IS')


def check_values(cfg: Mapping) -> None:
    """Settings have values of the kinds that the table gives."""
    for fault in value_faults(cfg):
        raise fault


def value_faults(cfg: Mapping) -> Iterator[SettingError]:
    """Yield an error for each value that is not of its kind."""
    for path, node in find_dicts(cfg, ''):
        if not names_code(node.get('type')):
            yield SettingError(
                f'{path}.type={node["type"]!r} must be a name; give that of '
                'a registered class or function'
            )
            continue
        kinds = _kinds(path, node)
        for key, value in node.items():
            place = join(path, key)
            kind = kinds.get(key)
            if kind is None and _is_flag_as_text(place, value):
                kind = BOOL
            if kind and not kind.accepts(value):
                yield _fault(place, value, kind)


def _is_flag_as_text(path: str, value: Any) -> bool:
    """Whether a setting, and no variable of a user's own, is such a text.

    Python takes it for true, whatever it says.
    """
    is_text = isinstance(value, str) and value.lower() in ('true', 'false')
    return is_text and path.partition('.')[0] in SETTINGS


def check_choices(cfg: Mapping) -> None:
    """What users choose is of the kind that the registry gives."""
    for fault in choice_faults(cfg):
        raise fault


def choice_faults(cfg: Mapping) -> Iterator[SettingError]:
    """Yield an error for each choice in a detector of ours that is wrong.

    Rules that know more about a setting come before.
    """
    if get_setting(cfg, 'model.type') in _DETECTORS:
        for setting in SETTINGS_OF_USERS:
            value = get_setting(cfg, setting.path)
            if value is not None and not setting.kind.accepts(value):
                yield _fault(setting.path, value, setting.kind)


def _fault(path: str, value: Any, kind: Kind) -> SettingError:
    return SettingError(f'{path}={value!r} must be {kind.words}; give one')


def _kinds(path: str, node: Mapping) -> Mapping[str, Kind]:
    kinds: dict[str, Kind] = {}
    for pattern, of_place in AT_PLACE.items():
        if re.fullmatch(pattern, path):
            kinds |= of_place
    kind = find_class(node.get('type'))
    for base in reversed(kind.__mro__ if kind else ()):
        kinds |= OF_TYPE.get(base.__name__, {})
    return kinds
