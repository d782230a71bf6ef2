"""What is searched of a one-stage detector: widths of its neck and head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..paths import get_setting

NECK = 'model.neck.out_channels'
HEAD = 'model.bbox_head.feat_channels'
DEPTH = 'model.bbox_head.stacked_convs'
TAKES = 'model.bbox_head.in_channels'  # what the neck gives


def usual_widths(cfg: Mapping) -> dict[str, list[int]]:
    """Return choices around a config's own, none where it has no such head.

    Channels are from a half to one and a half of its own, in quarters.
    """
    own = {path: get_setting(cfg, path) for path in (NECK, HEAD, DEPTH)}
    if not all(type(value) is int and value > 0 for value in own.values()):
        return {}
    channels = {
        path: sorted({max(1, own[path] * n // 4) for n in range(2, 7)})
        for path in (NECK, HEAD)
    }
    depth = own[DEPTH]
    return channels | {DEPTH: sorted({max(1, depth - 1), depth, depth + 1})}


def is_exported(path: str) -> bool:
    """Whether a setting is of the detector that is exported and timed."""
    return path.startswith('model.') and not path.startswith(
        'model.train_cfg.'
    )


def fitting(cfg: Mapping, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else has to be set: a head takes what its neck gives.

    Args:
        cfg: The user's config.
        settings: Changes to it by dotted path.
    """
    fits = get_setting(cfg, NECK) == get_setting(cfg, TAKES) is not None
    follows = fits and NECK in settings and TAKES not in settings
    return {TAKES: settings[NECK]} if follows else {}
