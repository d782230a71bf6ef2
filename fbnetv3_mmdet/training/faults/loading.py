"""How batches are drawn and loaded: by number, seeded, without broken images.

:class:`Fetch` loads a batch as hooks ask for, in whatever order they come.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.datasets import AspectRatioBatchSampler
from mmdet.structures import DetDataSample
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.runner import BaseLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from ...data import BrokenPicture

_KEY = 'broken_images'  # in the metainfo of a batch's first sample


class Fetch:
    """What torch asks for a whole batch, in place of asking for each sample.

    The first sample's ``metainfo`` takes the broken images of a batch to the
    main process. Where they are too many, it is all there is in the batch.

    Args:
        dataset: From which to load. It may have a ``__getitems__`` of its
            own, which then loads the batches in which nothing is broken.

    Attributes:
        seed (int, optional): Where set, a batch's indices come after its
            number, from which and the seed follow all random numbers.
        limit (int, optional): Where set, so many different files may be
            broken, and other images are taken in their place, at random.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._own = getattr(dataset, '__getitems__', None)
        self._files: set[str] = set()
        self.seed: int | None = None
        self.limit: int | None = None

    @classmethod
    def of(cls, dataset: Any) -> Fetch:
        """Return the one of a dataset, which it gets at the first call."""
        if not isinstance(getattr(dataset, '__getitems__', None), cls):
            dataset.__getitems__ = cls(dataset)
        return dataset.__getitems__

    def __call__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return the samples of a batch."""
        if self.seed is not None:
            number, *indices = indices
            seed_all(self.seed, get_rank(), number, 1)
        if self._own is not None:
            try:
                return self._own(indices)
            except BrokenPicture:
                if self.limit is None:
                    raise
        if self.limit is None:
            return [self._dataset[i] for i in indices]
        return self._load_whole(indices)

    def _load_whole(self, indices: Sequence[int]) -> list[Any]:
        broken: list[tuple[str, str]] = []
        samples = []
        for i in indices:
            sample = self._load(i, broken)
            if sample is None:
                return [_message(broken)]
            samples.append(sample)
        if broken:
            samples[0]['data_samples'].set_metainfo({_KEY: broken})
        return samples

    def _load(self, i: int, broken: list[tuple[str, str]]) -> Any:
        """Return an image, or another in its place, or None: too many."""
        while True:
            try:
                return self._dataset[i]
            except BrokenPicture as error:
                broken.append((error.file, str(error)))
                self._files.add(error.file)
            if len(self._files) > self.limit:
                return None
            i = np.random.randint(len(self._dataset))


def broken_of(batch: Any) -> Iterator[tuple[str, str]]:
    """Yield the files met for a batch that are broken, and their faults."""
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    for sample in samples or ():
        yield from getattr(sample, 'metainfo', {}).get(_KEY, ())


def _message(broken: Sequence[tuple[str, str]]) -> dict:
    """Return a sample that only tells what is broken."""
    sample = DetDataSample(metainfo={_KEY: broken})
    inputs = torch.zeros(3, 1, 1, dtype=torch.uint8)
    return dict(inputs=inputs, data_samples=sample)


def number_batches(loader: DataLoader, loop: BaseLoop, seed: int) -> None:
    """Have a loader begin at its loop's iteration, and seed each batch."""
    restart(loader.batch_sampler, seed)
    Fetch.of(loader.dataset).seed = seed
    # a loader allows no other batch sampler, lest its settings contradict it
    object.__setattr__(
        loader, 'batch_sampler', _NumberedBatches(loader.batch_sampler, loop)
    )


def begin_at_iteration(loop: IterBasedTrainLoop) -> None:
    """Have a loop of iterations draw batches from a loader as it is now.

    MMEngine's has drawn some, before 0.10.8, and skips those of iterations
    that are done.
    """
    loop.dataloader._iterator = None  # ends workers that have begun already
    loop.dataloader_iterator = _Batches(loop.dataloader, loop.iter)


def begin_again(loop: IterBasedTrainLoop) -> None:
    """Replace workers that have begun, as mmengine's before 0.10.8 do."""
    iterator, loader = loop.dataloader_iterator, loop.dataloader
    if getattr(iterator, '_iterator', None) is not None:
        loader._iterator = None
        batches = loader.batch_sampler
        restart(batches, getattr(batches.sampler, 'seed', None))
        loop.dataloader_iterator = type(iterator)(loader)


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


def seed_all(*key: int) -> None:
    """Seed all generators; different keys give unrelated numbers."""
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.manual_seed(int.from_bytes(words[:2].tobytes(), 'little'))


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
