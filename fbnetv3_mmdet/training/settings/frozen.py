"""A rule for what is frozen: it needs weights from somewhere."""

from collections.abc import Mapping

from ...errors import SettingError
from ...paths import as_list, find_dicts, get_setting


def check_frozen(cfg: Mapping) -> None:
    """What is frozen does not stay at random weights."""
    if cfg.get('load_from') or cfg.get('resume'):
        return
    for path, node in find_dicts(cfg.get('model'), 'model'):
        for key in ('frozen_stages', 'frozen'):
            value = node.get(key)
            is_frozen = isinstance(value, int) and value > 0
            if is_frozen and not _has_weights(cfg, path):
                raise SettingError(
                    f'{path}.{key}={value!r} would freeze random weights, as '
                    'load_from=None; set load_from to a checkpoint, or '
                    f"{path}.init_cfg=dict(type='Pretrained', "
                    f'checkpoint=...), or {path}.{key}={type(value)(0)}',
                    [f'{path}.{key}', 'load_from', f'{path}.init_cfg'],
                )


def _has_weights(cfg: Mapping, path: str) -> bool:
    """Whether a part of the model, or what it is in, loads a checkpoint."""
    names = path.split('.')
    wholes = ('.'.join(names[: i + 1]) for i in range(len(names)))
    return any(
        isinstance(init, Mapping) and init.get('type') == 'Pretrained'
        for whole in wholes
        for init in as_list(get_setting(cfg, f'{whole}.init_cfg'))
    )
