"""What of a config decides how training takes a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdet.registry import DATASETS

from ...training.settings.coco import training_rules
from ...training.settings.paths import find_dicts
from ..annotations.rules import Rules
from ..datasets import leaves


def read_rules(cfg: Mapping[str, Any], with_classes: bool = True) -> Rules:
    """Return the rules of the training set of a config.

    Args:
        cfg: A whole config, as MMDetection takes it.
        with_classes: Whether its classes are those of the data; the default
            config's are not.
    """
    dataset = find_dataset(cfg, 'train_dataloader')
    classes = None
    if with_classes and dataset.get('type') in DATASETS:
        kind = DATASETS.get(dataset['type'])
        classes = kind._load_metainfo(dataset.get('metainfo')).get('classes')
    return training_rules(dataset)._replace(
        classes=None if classes is None else tuple(classes),
        whole_images=any(
            hook.get('type') == 'WholeImagesHook'
            for place in ('default_hooks', 'custom_hooks')
            for _, hook in find_dicts(cfg.get(place), place)
        ),
    )


def find_dataset(cfg: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """Return the first dataset of a loader, out of any wrappers."""
    found = leaves((cfg.get(loader) or {}).get('dataset'))
    return next((node for _, node in found), {})
