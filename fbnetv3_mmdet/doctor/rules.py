"""What of a config decides how training takes a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmdet.registry import DATASETS

from ..annotations.rules import Rules
from ..settings.paths import find_dicts


def read_rules(cfg: Mapping[str, Any], with_classes: bool = True) -> Rules:
    """Return the rules of the training set of a config.

    Args:
        cfg: A whole config, as MMDetection takes it.
        with_classes: Whether its classes are those of the data; the default
            config's are not.
    """
    dataset = find_dataset(cfg, 'train_dataloader')
    rules = dataset.get('filter_cfg') or {}
    load = find_transform(dataset, 'LoadAnnotations') or {}
    classes = None
    if with_classes and dataset.get('type') in DATASETS:
        kind = DATASETS.get(dataset['type'])
        classes = kind._load_metainfo(dataset.get('metainfo')).get('classes')
    return Rules(
        classes=None if classes is None else tuple(classes),
        filter_empty=rules.get('filter_empty_gt', False),
        min_size=rules.get('min_size', 0),
        with_mask=load.get('with_mask', False),
        polygons=not load.get('poly2mask', True),
    )


def find_dataset(cfg: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """Return the first dataset of a loader, out of any wrappers."""
    for path, node in find_dicts(cfg.get(loader), loader):
        place = re.fullmatch(r'\w+(\.dataset|\.datasets\.\d+)+', path)
        if place and not {'dataset', 'datasets'} & node.keys():
            return node
    return {}


def find_transform(
    dataset: Mapping[str, Any], kind: str
) -> Mapping[str, Any] | None:
    """Return the first transform of a type in a dataset's pipeline."""
    for _, node in find_dicts(dataset.get('pipeline'), 'pipeline'):
        if node.get('type') == kind:
            return node
    return None
