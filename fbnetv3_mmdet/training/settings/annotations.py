"""Rules for the annotation files of a split, and what reads them."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.dataset import BaseDataset

from ...data import CheckedCocoDataset, CheckedCocoMetric, DigitScenes
from ...data.annotations import (
    Contents,
    Defect,
    Rules,
    dataset_rules,
    describe,
    read_contents,
    with_images,
)
from ...errors import SettingError
from ...paths import as_list, find_dicts


def rules_of(
    cfg: Mapping, split: str, dataset: Mapping, classes: list[str]
) -> Rules:
    """Return what a split's reader makes of annotations."""
    rules = with_images(dataset_rules(dataset), cfg)._replace(
        classes=tuple(classes), learns=split == 'train'
    )
    if split == 'train':
        return rules
    rules = rules._replace(bad_share=0, polygons=False)
    if rules.is_raw:
        metrics = [metric for _, metric in coco_metrics(cfg, split)]
        rules = rules._replace(
            with_mask=any('segm' in as_list(m.get('metric')) for m in metrics),
            by_file=any(m.get('ann_file') is not None for m in metrics),
        )
    return rules


def has_coco_file(kind: type[BaseDataset]) -> bool:
    """Whether a dataset reads a file in COCO's format that must exist."""
    if issubclass(kind, DigitScenes):  # which writes its own
        return False
    return any(
        issubclass(kind, known)
        and kind.load_data_list is known.load_data_list
        and kind.parse_data_info is known.parse_data_info
        for known in (CocoDataset, CheckedCocoDataset)
    )


def locate(path: str, key: str, dataset: Mapping, value: Any) -> str:
    """Return a path of a data set's file or folder, from its root."""
    if not isinstance(value, str):
        raise SettingError(
            f'{path}.{key}={value!r} must be a path, relative to '
            f'{path}.data_root; give one'
        )
    return os.path.join(dataset.get('data_root') or '', value)


def image_folder(path: str, dataset: Mapping) -> str:
    """Return the folder of a data set's images, which is not empty."""
    prefix = dataset.get('data_prefix')
    prefix = prefix.get('img') if isinstance(prefix, Mapping) else prefix
    folder = locate(path, 'data_prefix.img', dataset, prefix)
    if '://' not in folder:
        if not os.path.isdir(folder):
            fault = 'is not a folder'
        elif not os.listdir(folder):
            fault = 'is empty'
        else:
            return folder
        raise SettingError(
            f'{path}.data_prefix.img={folder!r} {fault}; give the folder '
            'that the file names in ann_file start from, relative to '
            'data_root'
        )
    return folder


def read_file(
    path: str, file: str, rules: Rules, folder: str | None = None
) -> Contents:
    """Return what an annotation file holds, and name its setting if broken."""
    try:
        return read_contents(file, rules, folder)
    except ValueError as error:
        raise SettingError(f'{path}.ann_file={error}') from error


def check_labelled(
    cfg: Mapping, split: str, path: str, file: str, contents: Contents
) -> None:
    """What is evaluated needs annotations; what is only written does not."""
    evaluator = f'{split}_evaluator'
    is_written = all(
        metric.get('format_only') or metric.get('type') == 'DumpDetResults'
        for _, metric in find_dicts(cfg.get(evaluator), evaluator)
        if 'type' in metric
    )
    if is_unlabelled(contents) and not is_written:
        raise SettingError(
            f'{path}.ann_file={file!r} has no annotations to evaluate by; '
            'give a file that has, or have predictions written only: set '
            f'{evaluator}.format_only=True and {evaluator}.outfile_prefix, '
            'or give tools/test.py --out',
            [f'{path}.ann_file', f'{evaluator}.format_only'],
        )


def is_unlabelled(contents: Contents) -> bool:
    """Whether a file of images has no annotations."""
    return any(f.defect is Defect.UNLABELLED for f in contents.findings)


def check_metric(
    path: str, metric: Mapping, file: str, files: list[str], rules: Rules
) -> list[str]:
    """Check the file that a metric reads, or would need."""
    if issubclass(_type_of(metric), CheckedCocoMetric):
        if files and os.path.abspath(file) not in map(os.path.abspath, files):
            raise SettingError(
                f'{path}.ann_file={file!r} is not the file of the data set, '
                f'{files[0]!r}, by whose objects is evaluated; leave '
                f'{path}.ann_file out'
            )
        return []
    rules = rules._replace(is_raw=True, by_file=True, learns=False)
    return describe(file, read_file(path, file, rules))


def check_order(
    path: str, file: str, classes: list[str], contents: Contents
) -> None:
    """Labels of MMDetection's own data set follow the file's categories."""
    in_file = contents.content.in_file
    found = [name for name in in_file if name in classes]
    if len(found) < len(classes):
        missing = [name for name in classes if name not in found]
        raise SettingError(
            f'{path}.metainfo.classes={classes!r}: {missing} are not '
            f'categories of {file!r}, which are {list(in_file)}; '
            f"correct the names, or set {path}.type='CheckedCocoDataset'"
        )
    if found != classes:
        raise SettingError(
            f'{path}.metainfo.classes={classes!r} is not in the order of the '
            f'categories of {file!r}, which labels follow; write '
            f"classes={found!r}, or set {path}.type='CheckedCocoDataset', "
            'which goes by names'
        )


def coco_metrics(cfg: Mapping, split: str) -> Iterator[tuple[str, Mapping]]:
    """Yield path and settings of the metrics that read COCO's format."""
    evaluator = f'{split}_evaluator'
    for path, metric in find_dicts(cfg.get(evaluator), evaluator):
        kind = _type_of(metric)
        if isinstance(kind, type) and issubclass(kind, CocoMetric):
            yield path, metric


def _type_of(metric: Mapping) -> Any:
    kind = metric.get('type')
    return METRICS.get(kind) if isinstance(kind, str) else kind
