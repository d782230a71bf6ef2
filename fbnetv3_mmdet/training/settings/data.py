"""Rules for a split's classes and data."""

import os
import reprlib
from collections.abc import Iterator, Mapping
from inspect import Parameter

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from fbnetv3_runtime import read_metadata

from ...data.annotations import Rules, describe
from ...data.datasets import leaves
from ...errors import SettingError
from ...paths import find_dicts, get_setting
from .annotations import (
    check_labelled,
    check_metric,
    check_order,
    coco_metrics,
    has_coco_file,
    image_folder,
    is_unlabelled,
    locate,
    read_file,
    rules_of,
)
from .classes import defaults_of, find_class

HEADS = (
    'model.bbox_head',
    'model.mask_head',
    'model.roi_head.bbox_head',
    'model.roi_head.mask_head',
)


def check_split(cfg: Mapping, split: str) -> list[str]:
    """Check the data of 'train', 'val' or 'test' against model and disk.

    Returns:
        A line for each kind of annotations that are not used as they are.

    Raises:
        ValueError: As for :func:`.settings.check_settings`.
    """
    notes: list[str] = []
    files: list[str] = []
    rules = Rules()
    for path, kind, dataset in find_datasets(cfg, f'{split}_dataloader'):
        classes = read_classes(path, kind, dataset)
        if classes is None:
            continue
        _check_heads(cfg, path, classes)
        _check_exported(cfg, path, classes)
        rules = rules_of(cfg, split, dataset, classes)
        if has_coco_file(kind) and not dataset.get('backend_args'):
            file = locate(path, 'ann_file', dataset, dataset.get('ann_file'))
            if '://' not in file:
                files.append(file)
                contents = read_file(
                    path, file, rules, image_folder(path, dataset)
                )
                check_labelled(cfg, split, path, file, contents)
                notes += describe(file, contents)
                if rules.is_raw:
                    check_order(path, file, classes, contents)
    for path, metric in coco_metrics(cfg, split):
        file = metric.get('ann_file')
        if file is not None and not metric.get('backend_args'):
            notes += check_metric(path, metric, file, files, rules)
    return [*dict.fromkeys(notes)]  # both may read the same file


def is_labelled(cfg: Mapping, split: str) -> bool:
    """Whether the files of a split have annotations; also if none is read."""
    for path, kind, dataset in find_datasets(cfg, f'{split}_dataloader'):
        if has_coco_file(kind) and not dataset.get('backend_args'):
            file = locate(path, 'ann_file', dataset, dataset.get('ann_file'))
            if os.path.isfile(file):
                rules = Rules(learns=False)
                contents = read_file(path, file, rules)
                if is_unlabelled(contents):
                    return False
    return True


def find_datasets(
    cfg: Mapping, loader: str
) -> Iterator[tuple[str, type[BaseDataset], Mapping]]:
    """Yield path, class and config of the datasets, inside any wrappers."""
    dataset = (cfg.get(loader) or {}).get('dataset')
    for path, node in leaves(dataset, f'{loader}.dataset'):
        kind = node.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, BaseDataset):
            yield path, kind, node


def read_classes(
    path: str, kind: type[BaseDataset], dataset: Mapping
) -> list[str] | None:
    """Return the names of a dataset's classes, None where it has none."""
    metainfo = dataset.get('metainfo')
    if not isinstance(metainfo, Mapping | None):
        raise SettingError(
            f'{path}.metainfo={metainfo!r} must be a dict; write '
            "metainfo=dict(classes=('first', 'second'))"
        )
    metainfo = kind._load_metainfo(metainfo)
    # a panoptic set has stuff too, which is for other heads
    classes = metainfo.get('thing_classes', metainfo.get('classes'))
    if classes is None:
        return None
    names = classes if isinstance(classes, (list, tuple)) else [None]
    if (
        not all(isinstance(n, str) for n in names)
        or not names
        or (len(set(names)) < len(names))
    ):
        raise SettingError(
            f'{path}.metainfo.classes={classes!r} must be a list of names, '
            "each once; write one class as classes=('name', )"
        )
    if any('{{' in name for name in names):  # of a stranger's labels
        raise SettingError(
            f'{path}.metainfo.classes={classes!r} must have no name with '
            "'{{': MMEngine puts text in its place whenever it loads the "
            "run's config; rename that class"
        )
    return list(names)


def _check_heads(cfg: Mapping, path: str, classes: list[str]) -> None:
    if get_setting(cfg, 'model.language_model'):
        return  # an open vocabulary: num_classes is a limit
    for place in HEADS:
        for head_path, head in find_dicts(get_setting(cfg, place), place):
            kind = find_class(head.get('type'))
            settings = (defaults_of(kind) if kind else {}) | head
            number = settings.get('num_classes', len(classes))
            if number not in (len(classes), Parameter.empty):
                raise SettingError(
                    f'{head_path}.num_classes={number!r} does not fit the '
                    f'{len(classes)} classes of {path}, '
                    f'{reprlib.repr(classes)}; set {head_path}.num_classes='
                    f'{len(classes)}, or the names in {path}.metainfo.classes'
                )


def _check_exported(cfg: Mapping, path: str, classes: list[str]) -> None:
    """An exported file has names of its own; labels are their numbers."""
    if get_setting(cfg, 'model.type') == 'ExportedDetector':
        file = get_setting(cfg, 'model.model')
        names = read_metadata(file)['classes']
        if names != classes:
            raise SettingError(
                f'model.model={file!r} detects {reprlib.repr(names)}, and '
                f'{path} has the classes {reprlib.repr(classes)}; give the '
                'config that the file was exported from'
            )
