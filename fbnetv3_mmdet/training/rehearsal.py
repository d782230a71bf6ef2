"""A rehearsal before iteration 0: one batch, and one evaluation of two images.

What a config has wrong often shows only when data, model and evaluator meet.
Here they meet before a training begins, and nothing of it is kept: the model
is a copy, and random numbers are drawn again afterwards.
"""

from __future__ import annotations

import copy
import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from types import FrameType
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..errors import SettingError, frames, in_users_code, text_of
from .settings.building import MISTAKES

NUM_VAL_IMAGES = 2
Batch = Mapping[str, Any]


def rehearse(runner: Runner) -> None:
    """Run what an iteration and an evaluation run, and keep nothing.

    Args:
        runner: One whose training is about to begin.

    Raises:
        SettingError: Something failed in code of the libraries: the setting
            it comes from, where that can be told, and what was wrong. Errors
            from a user's own modules pass as they are.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else None
    model = model or runner.model
    if not isinstance(model, BaseModel):
        return
    with _random_numbers_kept(), _quiet(runner.logger), torch.no_grad():
        model = copy.deepcopy(model)
        _rehearse_training(runner, model)
        if runner.val_loop is not None:
            _rehearse_evaluation(runner, model)


def _rehearse_training(runner: Runner, model: BaseModel) -> None:
    loader = runner.train_dataloader
    place = 'train_dataloader'
    batch = _batch(loader, place, loader.batch_size or 1)
    if batch is None:  # all broken: WholeImagesHook counts and names them
        return
    with _blamed('model', _module_of(model)):
        data = model.data_preprocessor(batch, True)
        model.train()
        losses = model._run_forward(data, mode='loss')
        model.parse_losses(losses)


def _rehearse_evaluation(runner: Runner, model: BaseModel) -> None:
    loop = runner.val_loop
    batch = _batch(loop.dataloader, 'val_dataloader', NUM_VAL_IMAGES)
    if batch is None:
        return
    with _blamed('model', _module_of(model)):
        model.eval()
        found = model.val_step(batch)
    for sample in found:
        _find_something(sample)
    with _blamed('val_evaluator', _metric_of(loop.evaluator)):
        with _nothing_written(loop.evaluator):
            loop.evaluator.process(data_samples=found, data_batch=batch)
            loop.evaluator.evaluate(len(found))


def _batch(loader: DataLoader, place: str, size: int) -> Batch | None:
    """Return a batch of the first images that are whole, None without one."""
    dataset = loader.dataset
    items = []
    with _pipelines_kept(dataset):
        with _blamed(f'{place}.dataset', _transform_of(dataset, place)):
            for index in range(min(size, len(dataset))):
                try:
                    items.append(dataset[index])
                except Exception as error:  # decoders raise anything
                    if not any(map(_loads_image, frames(error))):
                        raise
    if not items:
        return None
    _check_packed(items[0], place)
    with _blamed(f'{place}.collate_fn'):
        return loader.collate_fn(items)


def _loads_image(frame: FrameType) -> bool:
    return isinstance(frame.f_locals.get('self'), LoadImageFromFile)


def _check_packed(item: Any, place: str) -> None:
    """Check that a pipeline gives what detectors of MMDetection take."""
    path = f'{place}.dataset.pipeline'
    if not isinstance(item, Mapping) or 'inputs' not in item:
        keys = sorted(item) if isinstance(item, Mapping) else type(item)
        raise SettingError(
            f"{path} gives {keys}, and no 'inputs' and 'data_samples'; end "
            "it with dict(type='PackDetInputs')",
            [path],
        )
    sample = item['data_samples']
    if place == 'train_dataloader' and isinstance(sample, DetDataSample):
        truth = sample.get('gt_instances')
        if truth is None or 'bboxes' not in truth:
            raise SettingError(
                f'{path} gives images without objects to learn from; put '
                "dict(type='LoadAnnotations', with_bbox=True) into it",
                [path],
            )


def _find_something(sample: Any) -> None:
    """Give a sample one detection, if it has none: of the whole image.

    An evaluation of nothing would show nothing.
    """
    found = sample.get('pred_instances') if hasattr(sample, 'get') else None
    if not isinstance(found, InstanceData) or len(found):
        return
    height, width = sample.ori_shape[:2]
    found = InstanceData(
        bboxes=torch.tensor([[0.0, 0.0, width, height]]),
        scores=torch.ones(1),
        labels=torch.zeros(1, dtype=torch.long),
        **(
            dict(masks=torch.ones(1, height, width, dtype=torch.bool))
            if 'masks' in found
            else {}
        ),
    )
    sample.pred_instances = found


@contextmanager
def _blamed(
    place: str, find: Callable[[FrameType], str | None] = lambda frame: None
) -> Iterator[None]:
    """Turn an error of the libraries into one that names a setting.

    Args:
        place: Dotted path of the setting that the code inside comes from.
        find: Gives the path of a part of it that a frame is of, None where
            it is of none. The innermost part counts.
    """
    try:
        yield
    except SettingError:
        raise
    except MISTAKES as error:
        if isinstance(error, torch.cuda.OutOfMemoryError) or in_users_code(
            error
        ):
            raise
        places = [path for path in map(find, frames(error)) if path]
        path = (places or [place])[-1]
        fault = ': '.join(filter(None, (type(error).__name__, text_of(error))))
        raise SettingError(
            f'{path} failed with a batch before the training began: {fault}; '
            'correct it, or what it is given, or skip this rehearsal by '
            'default_hooks.check_settings.rehearse=False',
            [path],
        ) from error


def _transform_of(
    dataset: Dataset, place: str
) -> Callable[[FrameType], str | None]:
    """Return what names the transform of a pipeline that a frame is of."""

    def find(frame: FrameType) -> str | None:
        owner = frame.f_locals.get('self')
        for path, part in _datasets(dataset, f'{place}.dataset'):
            transforms = getattr(part, 'pipeline', None)
            transforms = getattr(transforms, 'transforms', transforms)
            if isinstance(transforms, list):
                for i, transform in enumerate(transforms):
                    if transform is owner:
                        return f'{path}.pipeline.{i}'
        return None

    return find


def _module_of(model: nn.Module) -> Callable[[FrameType], str | None]:
    """Return what names the module of a model that a frame is of."""
    names = {id(m): name for name, m in model.named_modules() if name}

    def find(frame: FrameType) -> str | None:
        name = names.get(id(frame.f_locals.get('self')))
        return name and f'model.{name}'

    return find


def _metric_of(evaluator: Evaluator) -> Callable[[FrameType], str | None]:
    """Return what names the metric of an evaluator that a frame is of."""
    metrics = evaluator.metrics
    if len(metrics) == 1:
        return lambda frame: None
    places = {id(metric): i for i, metric in enumerate(metrics)}

    def find(frame: FrameType) -> str | None:
        index = places.get(id(frame.f_locals.get('self')))
        return None if index is None else f'val_evaluator.{index}'

    return find


def _datasets(dataset: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield a dataset and those inside of it, with their paths."""
    yield path, dataset
    inner = {'dataset': getattr(dataset, 'dataset', None)}
    several = getattr(dataset, 'datasets', None)
    if isinstance(several, (list, tuple)):
        inner |= {f'datasets.{i}': one for i, one in enumerate(several)}
    for key, one in inner.items():
        if isinstance(one, Dataset):
            yield from _datasets(one, f'{path}.{key}')


@contextmanager
def _pipelines_kept(dataset: Dataset) -> Iterator[None]:
    """Have pipelines as before afterwards: some cache images."""
    parts = [
        part for _, part in _datasets(dataset, '') if hasattr(part, 'pipeline')
    ]
    kept = [copy.deepcopy(part.pipeline) for part in parts]
    try:
        yield
    finally:
        for part, pipeline in zip(parts, kept, strict=True):
            part.pipeline = pipeline


@contextmanager
def _nothing_written(evaluator: Evaluator) -> Iterator[None]:
    """Leave no file of an evaluation behind, and metrics as before.

    Without an annotation file, a metric keeps the ground truth that it met.
    """
    kept = [dict(vars(metric)) for metric in evaluator.metrics]
    for metric in evaluator.metrics:
        if hasattr(metric, 'outfile_prefix'):
            metric.outfile_prefix = None
    try:
        yield
    finally:
        for metric, attributes in zip(evaluator.metrics, kept, strict=True):
            vars(metric).clear()
            vars(metric).update(attributes)
            metric.results.clear()


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Have all generators as before afterwards."""
    states = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Say nothing but errors, and print nothing."""

    def is_loud(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    handlers = list(logger.handlers)
    for handler in handlers:
        handler.addFilter(is_loud)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_loud)
        sys.stdout.flush()
