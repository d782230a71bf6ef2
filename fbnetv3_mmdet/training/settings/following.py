"""Settings that follow another one, so that users set one thing once.

A config says which in its variables ``following`` and ``from_scratch``. What
a user has set to a value of their own stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ...paths import is_list

LENGTH = 'train_cfg.max_iters'
SUFFIXES = ('dataloader', 'cfg', 'evaluator')


def follow(cfg: Config) -> None:
    """Complete the settings of a run in place.

    - A run of another length has its warm-up and intervals in proportion.
    - One from scratch has the rate for it, and nothing frozen.
    - One without ``val_dataloader``, ``val_cfg`` or ``val_evaluator`` has none
      of the three; for ``test`` alike.

    Args:
        cfg: A whole config.
    """
    for split in ('val', 'test'):
        parts = [f'{split}_{suffix}' for suffix in SUFFIXES]
        if any(part in cfg and cfg[part] is None for part in parts):
            cfg.update(dict.fromkeys(parts))
    settings = cfg.to_dict()
    written = settings.get('following')
    length = _get(settings, LENGTH)
    if isinstance(written, Mapping) and type(length) is int and length > 0:
        ratio = length / written[LENGTH]
        for path, number in written.items():
            if path != LENGTH and _get(settings, path) == number:
                # LinearLR of one iteration would never end
                least = 2 if path.endswith('.end') else 1
                value = max(least, round(ratio * number))
                cfg.merge_from_dict({path: value})
    if not cfg.get('load_from') and not cfg.get('resume'):
        pairs = settings.get('from_scratch') or {}
        for path, (tuned, scratch) in pairs.items():
            if _get(settings, path) == tuned:
                cfg.merge_from_dict({path: scratch})


def _get(cfg: Any, path: str) -> Any:
    """Return the value at a dotted path, None where there is none."""
    for key in path.split('.'):
        if isinstance(cfg, Mapping):
            cfg = cfg.get(key)
        elif is_list(cfg) and key.isdecimal() and int(key) < len(cfg):
            cfg = cfg[int(key)]
        else:
            return None
    return cfg
