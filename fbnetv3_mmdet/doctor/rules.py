"""What of a config decides how training takes a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmdet.registry import DATASETS

from ..settings.paths import find_dicts
from .findings import (
    BAD_MASK,
    DROPPED,
    ERROR,
    LEFT_OUT,
    NO_MASK,
    NO_OBJECTS,
    NO_POLYGON,
    ODD_POLYGON,
    PART_POLYGON,
    STOPS,
    Kind,
)


class Rules(NamedTuple):
    """What training with a config does with images and annotations."""

    classes: tuple[str, ...] | None = None  # None: those of the file
    filter_empty: bool = False  # leaves out images without objects
    min_size: float = 0  # px: leaves out smaller images
    with_mask: bool = False  # reads segmentations
    polygons: bool = False  # ... and only polygons

    @property
    def kinds(self) -> dict[str, Kind]:
        """What differs from the table of kinds."""
        kinds = {}
        if self.filter_empty:
            kinds[NO_OBJECTS] = Kind(DROPPED, LEFT_OUT)
        if self.with_mask:
            for kind in (NO_POLYGON, ODD_POLYGON, PART_POLYGON):
                kinds[kind] = Kind(DROPPED, LEFT_OUT)
            kinds[BAD_MASK] = Kind(ERROR, 'stops, or is left out')
            kinds[NO_MASK] = Kind(ERROR, STOPS)
        return kinds


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
