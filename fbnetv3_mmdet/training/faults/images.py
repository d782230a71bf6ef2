"""Ends a training on broken images, or leaves a few of them out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ...data import MAX_PIXELS, LoadWholePicture
from .loading import Fetch, begin_again, broken_of
from .stopping import stop


@HOOKS.register_module()
class WholeImagesHook(Hook):
    """Train and evaluate on whole images only.

    Every ``LoadImageFromFile`` of the data sets' pipelines becomes a
    :class:`LoadWholePicture`; the config's keep their name, by which
    MMDetection's inferencer and scripts look for them. A broken image ends
    the process, with exit status 1 and a line that names it; but up to a
    share of the training's images another one is taken instead, at random,
    and a warning says so. An evaluation leaves out nothing.

    Different files are counted, from the beginning of the process. Of several
    processes each counts those that it has met, and any may end the run.

    Args:
        max_bad_share (float): Share of the training's images, at least 0 and
            below 1, that may be broken.
        max_pixels (int): Most pixels of an image, read from its header
            before it is decoded; above 178,956,970 Pillow opens none.
        brightest (int, optional): Value of grey pictures of 16 bits that
            becomes white, such as 4095 of a camera of 12 bits, which is
            nearly black otherwise. Predictions and exported files keep to
            it. None: 65535.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        max_bad_share: float = 0.0,
        max_pixels: int = MAX_PIXELS,
        brightest: int | None = None,
    ) -> None:
        _check(max_bad_share, max_pixels, brightest)
        self.brightest = brightest
        self.max_bad_share = max_bad_share
        self.max_pixels = max_pixels
        self._broken: dict[str, str] = {}  # by file, in training
        self._num_images = self._limit = 0

    def before_train(self, runner: Runner) -> None:
        """Have the training's images checked."""
        loop = runner.train_loop
        self._num_images = sum(map(len, _innermost(loop.dataloader.dataset)))
        # the least bit more: 0.29 * 100 is 28.999...
        limit = self.max_bad_share * self._num_images + 1e-6
        self._limit = math.floor(limit)
        self._watch(loop.dataloader, self._limit)
        if isinstance(loop, IterBasedTrainLoop):
            begin_again(loop)

    def before_val(self, runner: Runner) -> None:
        """Have the evaluation's images checked."""
        self._watch(runner.val_loop.dataloader)

    def before_test(self, runner: Runner) -> None:
        """Have the test's images checked."""
        self._watch(runner.test_loop.dataloader)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Log what was left out, and stop where it was too much."""
        for file, fault in broken_of(data_batch):
            if file in self._broken:
                continue
            self._broken[file] = fault
            number = len(self._broken)
            if number > self._limit:
                stop(
                    runner,
                    f'image {file!r}: {fault}; {number} broken of '
                    f'{self._num_images} images, where max_bad_share='
                    f'{self.max_bad_share} of WholeImagesHook allows '
                    f'{self._limit}; mend them, or take them out of the '
                    'annotation file, or allow more; '
                    'tools/check_dataset.py --images finds them all',
                )
            runner.logger.warning(
                f'image {file!r} is left out: {fault}; {number} of '
                f'{self._limit} that max_bad_share={self.max_bad_share} of '
                'WholeImagesHook allows'
            )

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Stop at a broken image."""
        for file, fault in broken_of(data_batch):
            stop(
                runner,
                f'image {file!r}: {fault}; an evaluation leaves out nothing: '
                'mend it, or take it out of the annotation file',
            )

    before_test_iter = before_val_iter

    def _watch(self, loader: DataLoader, limit: int = 0) -> None:
        dataset = loader.dataset
        for part in _innermost(dataset):
            pipeline = getattr(part, 'pipeline', None)
            transforms = getattr(pipeline, 'transforms', [])
            for i, loading in enumerate(transforms):
                if type(loading) is LoadImageFromFile:
                    transforms[i] = LoadWholePicture(
                        loading, self.max_pixels, self.brightest
                    )
        Fetch.of(dataset).limit = limit


def _innermost(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside of any wrappers."""
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    for part in inner:
        if part is None:
            yield dataset
        else:
            yield from _innermost(part)


def _check(
    max_bad_share: float, max_pixels: int, brightest: int | None
) -> None:
    is_number = isinstance(max_bad_share, (int, float))
    if not is_number or not 0 <= max_bad_share < 1:
        raise ValueError(
            f'max_bad_share={max_bad_share!r} of WholeImagesHook is not '
            'allowed; give a number of at least 0 and below 1'
        )
    if type(max_pixels) is not int or not 1 <= max_pixels <= MAX_PIXELS:
        raise ValueError(
            f'max_pixels={max_pixels!r} of WholeImagesHook is not allowed; '
            f'give an integer from 1 to {MAX_PIXELS}, and cut larger images '
            'into tiles'
        )
    if brightest is not None and (
        type(brightest) is not int or not 1 <= brightest <= 65535
    ):
        raise ValueError(
            f'brightest={brightest!r} of WholeImagesHook is not allowed; give '
            'an integer from 1 to 65535, or None'
        )
