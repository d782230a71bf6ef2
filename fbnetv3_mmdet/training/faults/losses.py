"""Ends a training whose loss has become NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from .stopping import stop

_TRY = (
    'try a lower optim_wrapper.optimizer.lr, a longer warm-up in '
    'param_scheduler, optim_wrapper.clip_grad=dict(max_norm=35), or training '
    "without --amp, and look at these images' annotations"
)
_LISTED = 4  # bad terms or tensors, in the line


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop where the loss is not finite; never save weights that are not.

    The process ends with exit status 1 and a line that names the iteration,
    the terms of the loss, the learning rate and the images of the batch.

    Args:
        interval (int): Look at the loss every so many iterations, at least 1.
            What is saved is looked at every time, but for buffers that have
            infinite values from the beginning, as masks have.

    Raises:
        ValueError: ``interval`` is out of range.
    """

    priority = 'VERY_HIGH'  # before the average of weights takes them in

    def __init__(self, interval: int = 1) -> None:
        if type(interval) is not int or interval < 1:
            raise ValueError(
                f'interval={interval!r} of FiniteLossHook is not allowed; '
                'give an integer of at least 1'
            )
        self.interval = interval
        self._batch: Any = None
        self._meant: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Note the buffers that are not meant to be finite."""
        wrapped = is_model_wrapper(runner.model)
        model = runner.model.module if wrapped else runner.model
        self._meant = {
            f'state_dict.{name}'
            for name, buffer in model.named_buffers()
            if not torch.isfinite(buffer).all()
        }

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Check the loss."""
        self._batch = data_batch
        if not self.every_n_train_iters(runner, self.interval):
            return
        losses = {
            name: value.detach()
            for name, value in (outputs or {}).items()
            if 'loss' in name
        }
        # One look at the device: what is not finite makes the sum so. A sum
        # may also overflow, and then nothing is found.
        if math.isfinite(sum(losses.values())):
            return
        bad = {
            name: value.item()
            for name, value in losses.items()
            if not torch.isfinite(value)
        }
        if bad:
            terms = {name: v for name, v in bad.items() if name != 'loss'}
            listed = [f'{n}={v}' for n, v in (terms or bad).items()]
            self._give_up(runner, ', '.join(listed[:_LISTED]))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights or an optimizer that hold NaN or infinity."""
        saved = {
            key: checkpoint.get(key) for key in ('state_dict', 'optimizer')
        }
        bad = [
            name
            for name, tensor in _tensors(saved)
            if name not in self._meant and not torch.isfinite(tensor).all()
        ]
        if bad:
            listed = ', '.join(bad[:_LISTED])
            self._give_up(
                runner, f'{len(bad)} tensors hold NaN or infinity ({listed})'
            )

    def _give_up(self, runner: Runner, what: str) -> None:
        rates = ', '.join(
            f'{name}={values[0]:g}'
            for name, values in runner.optim_wrapper.get_lr().items()
        )
        stop(
            runner,
            f'iteration {runner.iter + 1}: {what}; {rates}; images: '
            f'{_images(self._batch)}; nothing of it was saved; {_TRY}',
        )


def _tensors(node: Any, name: str = '') -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dicts and lists, with their dotted names."""
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _tensors(value, f'{name}.{key}' if name else str(key))
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _tensors(value, f'{name}.{i}')


def _images(batch: Any) -> str:
    """Return the paths, or else the ids, of the images of a batch."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    infos = [getattr(sample, 'metainfo', {}) for sample in samples or ()]
    names = [info.get('img_path', info.get('img_id')) for info in infos]
    return ', '.join(map(str, names)) or 'unknown'
