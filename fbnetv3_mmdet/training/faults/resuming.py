"""Resumes a run such that its result is that of an uninterrupted one.

Of a run's state, MMEngine restores weights, optimizer, schedules and logs. It
does not restore random numbers, some of which other processes draw. Here they
are no state: those of an iteration follow from the seed, the process's rank
and the iteration's number.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.datasets import AspectRatioBatchSampler
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

_SEED = 'data_seed'  # in a checkpoint's meta


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed run equal to one that was never interrupted.

    On CPU, and wherever PyTorch is deterministic, weights and logged values
    are then equal bit for bit, whatever number of workers loads the data:

    - the seed is that of the interrupted run, also where none is set;
    - data go on where they stopped, none being loaded to get there;
    - random numbers are drawn anew for each batch and each iteration;
    - an evaluation that was due at the checkpoint is done (again).

    What else has a state is not restored: caches of a pipeline, such as
    ``CachedMosaic``'s, and samplers that are neither seeded by a ``seed`` nor
    restarted by their ``__iter__``.
    """

    priority = 'LOWEST'  # before_train: when all others are ready

    def __init__(self) -> None:
        self._seed: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the seed of the run that is resumed.

        Raises:
            ValueError: The checkpoint is of no run.
        """
        if runner._resume:
            meta = checkpoint.get('meta', {})
            if 'iter' not in meta:
                raise ValueError(
                    f'resume=True with load_from={runner._load_from!r}: the '
                    'file has weights, and no state of a training that could '
                    'go on; leave resume out to begin with its weights'
                )
            self._seed = meta.get(_SEED, meta.get('seed'))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the seed."""
        checkpoint['meta'][_SEED] = self._seed

    def before_train(self, runner: Runner) -> None:
        """Bring the data to where the run is, and evaluate where due."""
        loop = runner.train_loop
        loader = loop.dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        if self._seed is None:
            self._seed = getattr(sampler, 'seed', runner.seed)
        if sampler is not None:
            restart(loader.batch_sampler, self._seed)
            _number(loader, loop, self._seed)
        if isinstance(loop, IterBasedTrainLoop):
            loader._iterator = None  # ends workers that have begun already
            loop.dataloader_iterator = _Batches(loader, loop.iter)
        if loop.iter and _evaluation_is_due(loop):
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Seed what the model and its samplers draw."""
        _seed_all(self._seed, get_rank(), runner.iter, 0)


class _NumberedBatches:
    """A batch sampler that puts a batch's number before its indices.

    A batch has the number of the iteration that trains on it. The batches of
    iterations that are done are left out. In a loop of iterations, epochs
    follow each other without end.

    Args:
        batches: The batch sampler; it is asked for all other attributes.
        loop (BaseLoop): The training loop, where it is to begin.
    """

    def __init__(self, batches: Any, loop: BaseLoop) -> None:
        self._batches = batches
        self._loop = loop
        self._by_epoch = not isinstance(loop, IterBasedTrainLoop)
        self._endless = itertools.islice(
            enumerate(self._epochs()), loop.iter, None
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        numbered = self._one_epoch() if self._by_epoch else self._endless
        for number, indices in numbered:
            yield [number, *indices]

    def _one_epoch(self) -> Iterator[tuple[int, Sequence[int]]]:
        first = self._loop.epoch * len(self)
        numbered = enumerate(self._batches, first)
        return itertools.islice(numbered, self._loop.iter - first, None)

    def _epochs(self) -> Iterator[Sequence[int]]:
        for epoch in itertools.count():
            if hasattr(self._batches.sampler, 'set_epoch'):
                self._batches.sampler.set_epoch(epoch)
            empty = True
            for indices in self._batches:
                empty = False
                yield indices
            if empty:
                return


class _Fetch:
    """Loads a batch of :class:`_NumberedBatches`, seeded by its number."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self._dataset = dataset
        self._key = (seed, get_rank())
        self._fetch = getattr(dataset, '__getitems__', None)

    def __call__(self, numbered: Sequence[int]) -> Sequence[Any]:
        number, *indices = numbered
        _seed_all(*self._key, number, 1)
        if self._fetch is not None:
            return self._fetch(indices)
        return [self._dataset[i] for i in indices]


class _Batches:
    """What a loop of iterations draws batches from, beginning at its own.

    MMEngine advances a resumed loop's iterator, before 0.10.8 by loading all
    data anew. Those calls are counted, and do nothing.
    """

    def __init__(self, loader: DataLoader, skips: int) -> None:
        self._loader = loader
        self._skips = skips
        self._batches: Iterator | None = None

    def skip_iter(self, number: int) -> None:
        """Advance, as mmengine 0.10.8 and later do."""
        self._skips -= number

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        if self._skips > 0:
            self._skips -= 1
            return None
        if self._batches is None:
            self._batches = iter(self._loader)
        return next(self._batches)


def _number(loader: DataLoader, loop: BaseLoop, seed: int) -> None:
    """Have a loader seed the random numbers of each batch."""
    # torch asks a dataset that has this for a whole batch
    loader.dataset.__getitems__ = _Fetch(loader.dataset, seed)
    # a loader allows no other batch sampler, lest its settings contradict it
    object.__setattr__(
        loader, 'batch_sampler', _NumberedBatches(loader.batch_sampler, loop)
    )


def restart(batches: Any, seed: int) -> None:
    """Begin the order of the data.

    Workers of mmengine before 0.10.8 have asked for some data already.

    Args:
        batches: The batch sampler.
        seed (int): Of the order.
    """
    if isinstance(batches, AspectRatioBatchSampler):
        batches._aspect_ratio_buckets = [[], []]
    sampler = batches.sampler
    if hasattr(sampler, 'seed'):
        sampler.seed = seed
    if isinstance(sampler, InfiniteSampler):
        sampler.indices = sampler._indices_of_rank()


def _evaluation_is_due(loop: BaseLoop) -> bool:
    """Whether the loop would have evaluated after its last step."""
    if loop.runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    done, last = loop.iter, loop.max_iters
    if not isinstance(loop, IterBasedTrainLoop):
        if done != loop.epoch * len(loop.dataloader):
            return False
        done, last = loop.epoch, loop.max_epochs
    return done >= loop.val_begin and (
        done % loop.val_interval == 0 or done == last
    )


def _seed_all(*key: int) -> None:
    """Seed all generators; different keys give unrelated numbers."""
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.manual_seed(int.from_bytes(words[:2].tobytes(), 'little'))
