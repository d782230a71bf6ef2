"""How images and annotations are taken, as far as a config decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmdet.registry import DATASETS

from ...paths import find_dicts
from ..datasets import find_dataset, find_transform
from .findings import (
    BAD_MASK,
    DROPPED,
    EMPTY_BOX,
    ENORMOUS,
    ERROR,
    EXIF_STORED,
    IGNORED,
    LEFT_OUT,
    MIXED_IDS,
    NAN_BOX,
    NO_AREA,
    NO_CROWD,
    NO_MASK,
    NO_OBJECTS,
    NO_POLYGON,
    NONE_USABLE,
    NOTE,
    ODD_POLYGON,
    OUTSIDE,
    PART_POLYGON,
    PARTLY,
    RLE_MASK,
    SMALL_BOX,
    STOPS,
    TEXT_ID,
    TRUNCATED,
    WILD_MASK,
    WRONG_SIZE,
    ZERO_ID,
    Kind,
)
from .values import number

FATAL_MASKS = (BAD_MASK, WILD_MASK, NO_MASK)
STOPS_RAW = (NAN_BOX, NO_CROWD, TEXT_ID)
FOUND_BY_NONE = (EMPTY_BOX, SMALL_BOX, OUTSIDE, NO_AREA, IGNORED)


class Rules(NamedTuple):
    """What a training or a test makes of images and annotations."""

    classes: tuple[str, ...] | None = None  # None: those of the file
    filter_empty: bool = False  # leaves out images without objects
    min_size: float = 0  # px: leaves out smaller images
    with_mask: bool = False  # reads segmentations
    polygons: bool = False  # ... and only polygons
    whole_images: bool = False  # stops at pictures that are broken
    is_test: bool = False  # pycocotools gets the segmentations as they are
    is_raw: bool = False  # ... and all else: CocoMetric reads the file itself

    @property
    def kinds(self) -> dict[str, Kind]:
        """What differs from the table of kinds."""
        kinds = {}
        if self.filter_empty:
            kinds[NO_OBJECTS] = Kind(DROPPED, LEFT_OUT)
        if self.with_mask:
            kinds |= dict.fromkeys(FATAL_MASKS, Kind(ERROR, STOPS))
            polygons = Kind(DROPPED, LEFT_OUT)
            odd = polygons
            if self.is_test:
                polygons = Kind(ERROR, STOPS)
                odd = Kind(NOTE, 'the last number is left out')
            kinds |= {
                NO_POLYGON: polygons,
                PART_POLYGON: polygons,
                ODD_POLYGON: odd,
                RLE_MASK: Kind(DROPPED, LEFT_OUT),
            }
        if self.whole_images:
            broken = (ENORMOUS, TRUNCATED, WRONG_SIZE)
            kinds |= dict.fromkeys(broken, Kind(ERROR, STOPS))
            kinds[EXIF_STORED] = Kind(NOTE, 'read as stored')
        if self.is_test:
            kinds[MIXED_IDS] = Kind(ERROR, STOPS)
            kinds[NONE_USABLE] = Kind(NOTE, 'evaluated')
        if self.is_raw:
            counts = Kind(ERROR, 'counts as an object to find')
            kinds |= dict.fromkeys(STOPS_RAW, Kind(ERROR, STOPS))
            kinds |= dict.fromkeys(FOUND_BY_NONE, counts)
            kinds[PARTLY] = Kind(ERROR, 'compared as it is, not cut')
            kinds[ZERO_ID] = Kind(ERROR, 'its detection counts as false')
        return kinds


def training_rules(dataset: Mapping[str, Any]) -> Rules:
    """Return what a training with such a data set makes of all classes."""
    filters = dataset.get('filter_cfg')
    filters = filters if isinstance(filters, Mapping) else {}
    load = find_transform(dataset, 'LoadAnnotations') or {}
    return Rules(
        filter_empty=bool(filters.get('filter_empty_gt', False)),
        min_size=number(filters.get('min_size')) or 0,
        with_mask=bool(load.get('with_mask', False)),
        polygons=not load.get('poly2mask', True),
    )


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
