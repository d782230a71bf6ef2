"""Rules for a split's classes, annotations and images."""

import os
import reprlib
from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.dataset import BaseDataset

from fbnetv3_runtime import read_metadata

from ...data import DigitScenes
from ...data.annotations import (
    Contents,
    Rules,
    describe,
    read_contents,
    training_rules,
)
from ...data.datasets import leaves
from ...errors import SettingError
from ...paths import as_list, find_dicts, get_setting
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
    is_labelled = not _is_unlabelled(cfg, split)
    rules = _test_rules(cfg, split) if is_labelled else Rules()
    for path, kind, dataset in find_datasets(cfg, f'{split}_dataloader'):
        classes = read_classes(path, kind, dataset)
        if classes is None:
            continue
        _check_heads(cfg, path, classes)
        _check_exported(cfg, path, classes)
        if split == 'train':
            rules = training_rules(dataset)
        rules = rules._replace(classes=tuple(classes))
        if _has_coco_file(kind) and not dataset.get('backend_args'):
            file = _locate(path, 'ann_file', dataset, dataset.get('ann_file'))
            if '://' not in file:
                contents = _read(f'{path}.ann_file', file, rules, is_labelled)
                notes += describe(file, contents)
                _check_categories(path, file, classes, contents)
                if is_labelled:
                    _check_boxes(path, file, classes, contents)
                _check_images(path, dataset, contents)
    for path, metric in _coco_metrics(cfg, split):
        file = metric.get('ann_file')
        if file is not None and not metric.get('backend_args'):
            contents = _read(f'{path}.ann_file', file, rules, is_labelled)
            notes += describe(file, contents)
    return [*dict.fromkeys(notes)]  # both may read the same file


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


def _has_coco_file(kind: type[BaseDataset]) -> bool:
    """Whether a dataset reads a file in COCO's format that must exist."""
    return (
        issubclass(kind, CocoDataset)
        and not issubclass(kind, DigitScenes)  # which writes its own
        and kind.load_data_list is CocoDataset.load_data_list
        and kind.parse_data_info is CocoDataset.parse_data_info
    )


def _locate(path: str, key: str, dataset: Mapping, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingError(
            f'{path}.{key}={value!r} must be a path, relative to '
            f'{path}.data_root; give one'
        )
    return os.path.join(dataset.get('data_root') or '', value)


def _read(
    setting: str, file: str, rules: Rules, is_labelled: bool
) -> Contents:
    try:
        return read_contents(file, rules, is_labelled)
    except ValueError as error:
        raise SettingError(f'{setting}={error}') from error


def _test_rules(cfg: Mapping, split: str) -> Rules:
    """Return what an evaluation makes of annotations of any classes."""
    metrics = [metric for _, metric in _coco_metrics(cfg, split)]
    return Rules(
        with_mask=any('segm' in as_list(m.get('metric')) for m in metrics),
        is_test=True,
        is_raw=any(m.get('ann_file') is not None for m in metrics),
    )


def _check_categories(
    path: str, file: str, classes: list[str], contents: Contents
) -> None:
    """The order counts too: labels follow the file's categories."""
    found = [name for name in contents.classes if name in classes]
    missing = [name for name in classes if name not in found]
    if missing:
        raise SettingError(
            f'{path}.metainfo.classes={classes!r}: {missing} are not '
            f'categories of {file!r}, which are {list(contents.classes)}; '
            'correct the names or leave them out'
        )
    if found != classes:
        raise SettingError(
            f'{path}.metainfo.classes={classes!r} is not in the order of the '
            f'categories of {file!r}, which labels follow; write '
            f'classes={found!r}'
        )


def _is_unlabelled(cfg: Mapping, split: str) -> bool:
    """Whether predictions are only written, as for a public test set."""
    evaluator = f'{split}_evaluator'
    return any(
        metric.get('format_only')
        for _, metric in find_dicts(cfg.get(evaluator), evaluator)
    )


def _check_boxes(
    path: str, file: str, classes: list[str], contents: Contents
) -> None:
    if not contents.usable.intersection(classes):
        raise SettingError(
            f'{path}.ann_file={file!r}: none of its '
            f'{contents.num_annotations} annotations has a usable box of '
            f'{path}.metainfo.classes; a box is [x, y, width, height] in '
            'pixels, at least 1 wide and high, inside its image, with an '
            'area > 0 and not iscrowd; correct the file'
        )


def _check_images(path: str, dataset: Mapping, contents: Contents) -> None:
    prefix = dataset.get('data_prefix')
    prefix = prefix.get('img') if isinstance(prefix, Mapping) else prefix
    folder = _locate(path, 'data_prefix.img', dataset, prefix)
    if not os.path.isdir(folder):
        fault = 'is not a folder'
    elif not os.listdir(folder):
        fault = 'is empty'
    elif not any(
        os.path.isfile(os.path.join(folder, name)) for name in contents.files
    ):
        fault = f'has no {contents.files[0]!r} nor other images of ann_file'
    else:
        return
    raise SettingError(
        f'{path}.data_prefix.img={folder!r} {fault}; give the folder that '
        'the file names in ann_file start from, relative to data_root'
    )


def _coco_metrics(cfg: Mapping, split: str) -> Iterator[tuple[str, Mapping]]:
    """Yield path and settings of the metrics that read COCO's format."""
    evaluator = f'{split}_evaluator'
    for path, metric in find_dicts(cfg.get(evaluator), evaluator):
        kind = metric.get('type')
        kind = METRICS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, CocoMetric):
            yield path, metric
