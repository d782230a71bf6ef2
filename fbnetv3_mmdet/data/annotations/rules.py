"""How images and annotations are taken, as far as a config decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from ..datasets import (
    find_brightest,
    find_dataset,
    find_transform,
    image_hooks,
)
from .defects import (
    ASIDE,
    DROPPED,
    ERROR,
    LEFT_OUT,
    NOTE,
    STOPS,
    WARNING,
    Kind,
)
from .defects import Defect as D
from .values import number

# Where masks are learnt. Of a file that CheckedCocoDataset reads:
MASKS = dict.fromkeys(
    (D.NO_MASK, D.NO_POLYGON, D.BAD_MASK, D.WILD_MASK, D.RLE_MASK),
    Kind(DROPPED, ASIDE),
) | {
    D.PART_POLYGON: Kind(WARNING, 'the good ones are taken'),
    D.ODD_POLYGON: Kind(WARNING, 'the last number is left out'),
    D.FLAT_POLYGON: Kind(WARNING, 'taken as one polygon'),
}
# What MMDetection's own types were measured to do: CocoDataset in training,
RAW = {
    D.MIXED_IDS: Kind(NOTE, 'CocoMetric would stop'),
    D.NO_SIZE: Kind(ERROR, STOPS),
    D.SAME_CATEGORY: Kind(ERROR, STOPS),
    D.NO_AREA: Kind(ERROR, STOPS),
    D.ZERO_AREA: Kind(DROPPED, LEFT_OUT),
    D.NAN_AREA: Kind(NOTE, 'not used in training'),
    D.NO_CROWD: Kind(NOTE, 'CocoMetric would stop'),
    D.TEXT_ID: Kind(NOTE, 'CocoMetric would stop'),
    D.ZERO_ID: Kind(NOTE, 'CocoMetric would not find it'),
}
RAW_MASKS = dict.fromkeys(
    (D.NO_MASK, D.BAD_MASK, D.WILD_MASK, D.FLAT_POLYGON), Kind(ERROR, STOPS)
) | dict.fromkeys(
    (D.NO_POLYGON, D.PART_POLYGON, D.ODD_POLYGON, D.RLE_MASK),
    Kind(DROPPED, LEFT_OUT),
)
# ... CocoMetric with the data set's objects,
RAW_TEST = {
    D.MIXED_IDS: Kind(ERROR, STOPS),
    D.NONE_USABLE: Kind(NOTE, 'evaluated'),
}
RAW_TEST_MASKS = {
    D.NO_POLYGON: Kind(ERROR, STOPS),
    D.PART_POLYGON: Kind(ERROR, STOPS),
    D.ODD_POLYGON: Kind(NOTE, 'the last number is left out'),
}
# ... and CocoMetric that reads the file itself.
RAW_FILE = (
    dict.fromkeys((D.NAN_BOX, D.NO_CROWD, D.TEXT_ID), Kind(ERROR, STOPS))
    | dict.fromkeys(
        (D.EMPTY_BOX, D.SMALL_BOX, D.OUTSIDE, D.ZERO_AREA, D.IGNORED),
        Kind(ERROR, 'counts as an object to find'),
    )
    | {
        D.PARTLY: Kind(ERROR, 'compared as it is, not cut'),
        D.ZERO_ID: Kind(ERROR, 'its detection counts as false'),
    }
)


class Rules(NamedTuple):
    """What a training or a test makes of images and annotations."""

    classes: tuple[str, ...] | None = None  # None: those of the file
    filter_empty: bool = False  # leaves out images without objects
    min_size: float = 0  # px: leaves out smaller images
    with_mask: bool = False  # masks are learnt, or compared
    polygons: bool = False  # ... and only polygons
    whole_images: bool = False  # stops at pictures that are broken
    bad_share: float = 0  # ... where they are more than this share
    brightest: int | None = None  # value of 16-bit pictures that is white
    learns: bool = True  # else what has been learnt is evaluated
    is_raw: bool = False  # MMDetection's own types read the file
    by_file: bool = False  # ... and so does its CocoMetric

    @property
    def kinds(self) -> dict[D, Kind]:
        """How bad defects are, where it differs from :class:`Defect`."""
        kinds: dict[D, Kind] = {}
        if self.filter_empty:
            kinds[D.NO_OBJECTS] = Kind(DROPPED, LEFT_OUT)
        if self.with_mask:
            kinds |= RAW_MASKS if self.is_raw else MASKS
        if self.whole_images:
            broken = (D.ENORMOUS, D.TRUNCATED, D.WRONG_SIZE)
            kinds |= dict.fromkeys(broken, Kind(ERROR, STOPS))
            kinds[D.EXIF_STORED] = Kind(NOTE, 'read as stored')
        if self.brightest:
            kinds[D.DARK] = Kind(NOTE, f'{self.brightest} becomes white')
        if not self.learns:
            kinds[D.EMPTY_CLASS] = Kind(WARNING, 'has no AP')
        if self.is_raw:
            kinds |= RAW
            if not self.learns:
                kinds |= RAW_TEST
                kinds |= RAW_TEST_MASKS if self.with_mask else {}
            if self.by_file:
                kinds |= RAW_FILE
        return kinds


def dataset_rules(dataset: Mapping[str, Any]) -> Rules:
    """Return what the reader of such a data set makes of all classes."""
    filters = dataset.get('filter_cfg')
    filters = filters if isinstance(filters, Mapping) else {}
    load = find_transform(dataset, 'LoadAnnotations') or {}
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    is_ours = getattr(kind, 'is_checked', False)
    return Rules(
        filter_empty=bool(filters.get('filter_empty_gt', False)),
        min_size=number(filters.get('min_size')) or 0,
        with_mask=bool(load.get('with_mask') or dataset.get('with_mask')),
        polygons=not load.get('poly2mask', True),
        is_raw=bool(kind) and issubclass(kind, CocoDataset) and not is_ours,
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
    return with_images(dataset_rules(dataset), cfg)._replace(
        classes=None if classes is None else tuple(classes)
    )


def with_images(rules: Rules, cfg: Mapping[str, Any]) -> Rules:
    """Return rules with what a config's hooks make of broken images."""
    hooks = image_hooks(cfg)
    shares = [number(hook.get('max_bad_share')) or 0 for hook in hooks]
    return rules._replace(
        whole_images=bool(hooks),
        bad_share=max(shares, default=0),
        brightest=find_brightest(cfg),
    )
