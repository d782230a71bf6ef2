"""Checks of a whole config: what no module can see by itself.

A rule is a function of the config that raises ValueError, in one line: the
setting's dotted path, its value, what is allowed and the remedy. To add one,
write it and name it in ``RULES``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .data import check_split
from .model import RULES

__all__ = ['check_settings']


def check_settings(
    cfg: Mapping[str, Any], splits: Sequence[str] = ('train', 'val', 'test')
) -> None:
    """Check the settings that users are most likely to get wrong.

    Rules for FBNetV3 modules apply to those that a model has, the others to
    any MMDetection config. Local annotation files are read, each once a
    process; remote ones, and datasets of another format than COCO's, are not
    looked into.

    Args:
        cfg (Config): A resolved config; it is not changed.
        splits (Sequence[str]): Whose data to check, of 'train', 'val' and
            'test'. A split without a dataloader is left out.

    Raises:
        ValueError: A setting is wrong.
    """
    for rule in RULES:
        rule(cfg)
    for split in splits:
        check_split(cfg, split)
