"""Rules for single settings: each against the kind that the table gives."""

import re
from collections.abc import Iterator, Mapping

from ...errors import SettingError
from ...paths import find_dicts, join
from .classes import find_class, names_code
from .kinds import Kind
from .table import AT_PLACE, OF_TYPE


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
        for key, kind in _kinds(path, node).items():
            if key in node and not kind.accepts(node[key]):
                yield SettingError(
                    f'{join(path, key)}={node[key]!r} must be {kind.words}; '
                    'give one'
                )


def _kinds(path: str, node: Mapping) -> Mapping[str, Kind]:
    kinds: dict[str, Kind] = {}
    for pattern, of_place in AT_PLACE.items():
        if re.fullmatch(pattern, path):
            kinds |= of_place
    kind = find_class(node.get('type'))
    for base in reversed(kind.__mro__ if kind else ()):
        kinds |= OF_TYPE.get(base.__name__, {})
    return kinds
