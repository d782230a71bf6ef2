"""A rule for the metric that the best checkpoint is chosen by."""

from collections.abc import Iterator, Mapping

from mmdet.evaluation import CocoMetric

from ...data import CheckedCocoMetric
from ...errors import SettingError
from ...paths import as_list, find_dicts, get_setting
from .classes import defaults_of, find_class
from .data import find_datasets, read_classes

KNOWN = {CocoMetric, CheckedCocoMetric}
_PRECISIONS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_RECALLS = (
    *('AR@100', 'AR@300', 'AR@1000'),
    *('AR_s@1000', 'AR_m@1000', 'AR_l@1000'),
)


def check_save_best(cfg: Mapping) -> None:
    """The best checkpoint is that of a metric which is computed."""
    path = 'default_hooks.checkpoint.save_best'
    value = get_setting(cfg, path)
    metrics = [
        node
        for _, node in find_dicts(cfg.get('val_evaluator'), '')
        if node.get('type') not in (None, 'Evaluator')
    ]
    if not {find_class(m['type']) for m in metrics} <= KNOWN or not metrics:
        return
    classes = [
        name
        for place, kind, dataset in find_datasets(cfg, 'val_dataloader')
        for name in read_classes(place, kind, dataset) or ()
    ]
    if not classes and any(metric.get('classwise') for metric in metrics):
        return
    known = [name for m in metrics for name in _results(m, classes)]
    for name in as_list(value):
        if name not in (None, 'auto', *known):
            raise SettingError(
                f'{path}={value!r}: {name!r} is no result of val_evaluator, '
                f"which are {known}; choose one, or 'auto' or None"
            )


def _results(metric: Mapping, classes: list[str]) -> Iterator[str]:
    """Yield the names of what a ``CocoMetric`` returns, in its order.

    Source: ``mmdet.evaluation.CocoMetric.compute_metrics``.
    """
    settings = defaults_of(CocoMetric) | metric
    prefix = settings['prefix'] or CocoMetric.default_prefix
    for kind in as_list(settings['metric']):
        items = settings['metric_items']
        if kind == 'proposal_fast':
            names = [f'AR@{n}' for n in as_list(settings['proposal_nums'])]
        elif kind == 'proposal':
            names = _RECALLS if items is None else items
        else:
            items = _PRECISIONS if items is None else items
            names = [f'{kind}_{item}' for item in items]
            if settings['classwise']:
                names = [f'{name}_precision' for name in classes] + names
        yield from (f'{prefix}/{name}' for name in names)
