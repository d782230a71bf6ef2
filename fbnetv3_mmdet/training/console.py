"""What a run shows on the console: facts on one screen, then its progress.

The log file has everything, MMEngine's environment and config among it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

# How messages of MMEngine and MMDetection begin that are for the log file.
_DETAILS = re.compile(
    r'\n-+\nSystem environment|Config:\n|Hooks will be executed|'
    r'paramwise_options|Distributed training is not used|Exp name:|'
    r'Checkpoints will be saved to|Saving checkpoint at|initialize \w+ with|'
    r'bbox_mAP_copypaste|segm_mAP_copypaste|Converting ground truth|'
    r'Evaluating \w+\.\.\.|Loads checkpoint by|Load checkpoint from|'
    r'Auto resumed from|The previous best checkpoint|'
    r'\n?\S+ - torch\.Size\('
)
# Warnings of MMEngine about its own parts, or about what is recommended.
_NEEDLESS = re.compile(
    r'"FileClient" will be deprecated|"HardDiskBackend" is the alias|'
    r'\S+ is skipped since its requires_grad=False'
)
_LISTED = 10  # classes, in the facts


@RUNNERS.register_module()
class BriefRunner(Runner):
    """MMEngine's runner, whose console begins with what a person asks.

    A training logs its data, model, weights, schedule and place at once. What
    else MMEngine tells of itself goes to the log file alone.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger, whose console leaves out details."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(_Without(_NEEDLESS))
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(_Without(_DETAILS))
        return logger

    def register_hooks(self, *args, **kwargs) -> None:
        """Register the run's hooks, and the one that logs its facts."""
        super().register_hooks(*args, **kwargs)
        self.register_hook(_FactsHook())


class _Without(logging.Filter):
    """Leaves out messages that begin as a pattern says."""

    def __init__(self, pattern: re.Pattern) -> None:
        super().__init__()
        self._pattern = pattern

    def filter(self, record: logging.LogRecord) -> bool:
        return not self._pattern.match(record.getMessage())


class _FactsHook(Hook):
    priority = 'LOWEST'  # all is loaded, and nothing has been trained

    def before_train(self, runner: Runner) -> None:
        lines = [f'  {name:<9} {value}' for name, value in facts_of(runner)]
        runner.logger.info('\n'.join(['Training', *lines]))


def facts_of(runner: Runner) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know of a training, by name.

    Args:
        runner (Runner): Its loops are built and its weights loaded.
    """
    loader = runner.train_loop.dataloader
    yield 'data', _data(loader)
    if runner.val_loop is not None:
        yield 'val', _data(runner.val_loop.dataloader)
    metainfo = getattr(loader.dataset, 'metainfo', None) or {}
    classes = list(metainfo.get('classes') or ())
    more = ', …' if len(classes) > _LISTED else ''
    listed = ', '.join(map(str, classes[:_LISTED]))
    yield 'classes', f'{len(classes)}: {listed}{more}'
    yield 'model', _model(runner)
    yield 'weights', _weights(runner)
    yield 'schedule', _schedule(runner)
    yield 'results', f'{runner.work_dir}, log in {runner._log_dir}'


def _data(loader: DataLoader) -> str:
    dataset = loader.dataset
    place = getattr(dataset, 'ann_file', None)
    return f'{type(dataset).__name__}, {len(dataset)} images' + (
        f', {place}' if place else ''
    )


def _model(runner: Runner) -> str:
    config = runner.cfg.get('model')
    config = config if isinstance(config, Mapping) else {}
    arch = config.get('arch') or (config.get('backbone') or {}).get('arch')
    values = list(runner.model.parameters())
    total = sum(value.numel() for value in values)
    trained = sum(value.numel() for value in values if value.requires_grad)
    device = values[0].device.type if values else 'cpu'
    return (
        f'{config.get("type")}'
        + (f' of {arch}' if isinstance(arch, str) else '')
        + f', {total:,} parameters, {trained:,} of them trained, on {device}'
    )


def _weights(runner: Runner) -> str:
    if runner._load_from or runner.iter:
        after = f' after {runner.iter} iterations' if runner.iter else ''
        return f'{runner._load_from}{after}'
    parts = sorted(set(_pretrained(runner.cfg.get('model'))))
    return ', '.join(parts) or 'random'


def _pretrained(node: Any) -> Iterator[str]:
    """Yield the checkpoints that a model's parts begin with."""
    if isinstance(node, Mapping):
        if node.get('type') == 'Pretrained':
            yield str(node.get('checkpoint'))
        for part in node.values():
            yield from _pretrained(part)
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from _pretrained(part)


def _schedule(runner: Runner) -> str:
    loop = runner.train_loop
    by_iteration = isinstance(loop, IterBasedTrainLoop)
    unit = 'iterations' if by_iteration else 'epochs'
    length = loop.max_iters if by_iteration else loop.max_epochs
    batch = getattr(loop.dataloader.batch_sampler, 'batch_size', None)
    optimizer = type(getattr(runner.optim_wrapper, 'optimizer', None))
    rates = (runner.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    evaluated = (
        f', evaluation every {loop.val_interval}' if runner.val_loop else ''
    )
    return (
        f'{length} {unit} of {batch} images on {runner.world_size} '
        f'process(es){evaluated}; {optimizer.__name__}, lr {rates.get("lr")}'
    )
