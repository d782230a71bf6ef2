"""How long detectors take for a picture, measured in turns.

from fbnetv3_mmdet.deploy import in_turns, latency, prepare

print(latency('detector.onnx', backend='openvino'))
candidates = [prepare(config) for config in configs]
for config, found in zip(configs, in_turns(candidates)):
print(config, found.median)
"""

from __future__ import annotations

import copy
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn

from fbnetv3_runtime import MAX_THREADS
from fbnetv3_runtime.backends import BACKENDS, load_model
from fbnetv3_runtime.engine import Engine

from .inputs import as_batch, random_picture
from .support import box_head, check_pipeline, check_size

ENGINES = ('torch', *BACKENDS)
PAUSE = 0.1  # s, in which the threads of the last run go to sleep
WARM_UP = 3  # runs that are not measured

Size = tuple[int, int]
Run = Callable[[], object]


class Latency(NamedTuple):
    """Milliseconds that a picture takes: the median and the quartiles."""

    median: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """Return the figures in words."""
        return f'{self.median:.1f} ms ({self.lower:.1f} to {self.upper:.1f})'


def latency(
    model: str | os.PathLike | Config,
    size: Size | None = None,
    backend: str = 'onnxruntime',
    threads: int = 1,
    rounds: int = 10,
    times: int = 5,
) -> Latency:
    """Return how long a detector takes, from the network's input to boxes.

    To compare detectors, :func:`prepare` each and give all of them to
    :func:`in_turns`.

    Args:
        model: An exported file (``.onnx``), or a config or its path, of
            which a detector of random weights is built.
        size: (height, width) of the input in pixels; None: what the test
            pipeline makes of a picture of its own proportions.
        backend: 'onnxruntime', 'openvino', or 'torch' for MMDetection.
        threads: Threads of the CPU.
        rounds: How often it is measured, with a pause before each.
        times: Pictures in a round.

    Raises:
        ValueError: An argument is wrong, or the config cannot be exported.
    """
    (found,) = in_turns(
        [prepare(model, size, backend, threads)], rounds, times
    )
    return found


def in_turns(
    runs: Sequence[Run], rounds: int = 10, times: int = 5
) -> list[Latency]:
    """Return how long each of some functions takes.

    They take turns, so that what else the machine does hits all alike.

    Args:
        runs: From :func:`prepare`.
        rounds: How many turns each has.
        times: How often each runs in a turn.

    Raises:
        ValueError: A number is below 1.
    """
    for name, value in (('rounds', rounds), ('times', times)):
        if value < 1:
            raise ValueError(f'{name}={value} must be at least 1')
    laps: list[list[float]] = [[] for _ in runs]
    for run in runs:
        for _ in range(WARM_UP):
            run()
    for _ in range(rounds):
        for run, own in zip(runs, laps, strict=True):
            time.sleep(PAUSE)
            own += [_time(run) for _ in range(times)]
    return [quartiles(own) for own in laps]


def quartiles(values: Sequence[float]) -> Latency:
    """Return the quartiles of values, of which there is at least one."""
    if len(values) == 1:
        return Latency(*values, *values, *values)
    lower, median, upper = quantiles(values, n=4, method='inclusive')
    return Latency(median, lower, upper)


def prepare(
    model: str | os.PathLike | Config,
    size: Size | None = None,
    backend: str = 'onnxruntime',
    threads: int = 1,
) -> Run:
    """Return a function that detects in one picture, for :func:`in_turns`.

    The arguments are those of :func:`latency`.
    """
    if backend not in ENGINES:
        raise ValueError(
            f'backend={backend!r} is unknown; choose one of {[*ENGINES]}'
        )
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f'threads={threads} must be 1 to {MAX_THREADS}')
    check_size(size)
    is_path = isinstance(model, str | os.PathLike)
    if is_path and Path(model).suffix == '.onnx':
        if backend == 'torch':
            raise ValueError(
                f"backend='torch' cannot run the exported file {model}; "
                f'choose one of {[*BACKENDS]}, or give the config'
            )
        return _exported(model, size, backend, threads)
    cfg = Config.fromfile(model) if is_path else model
    width, height = check_pipeline(get_test_pipeline_cfg(cfg))['scale']
    if backend == 'torch':
        detector = random_detector(cfg, random_picture(height, width))
        return _eager(detector, size or (height, width), threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'random.onnx')
        export_random(cfg, path)
        return _exported(path, size, backend, threads)


def export_random(cfg: Config, path: Path) -> None:
    """Export a config's detector of random weights, to measure it.

    Raises:
        ValueError: The config cannot be exported.
    """
    from .export import export  # PyTorch's exporter takes two seconds

    width, height = check_pipeline(get_test_pipeline_cfg(cfg))['scale']
    detector = random_detector(cfg, random_picture(height, width))
    export(cfg, detector, class_names(detector), path)


def random_detector(cfg: Config, picture: np.ndarray) -> nn.Module:
    """Build a config's detector of random weights that finds things.

    Its norms take the statistics of a picture; without them the features
    vanish, and numbers near 0 are slow. It is the same each time.

    Args:
        cfg: Config of a detector, which is not changed.
        picture: uint8 (H, W, 3), RGB, of the network's input size.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg.model))
    model = revert_sync_batchnorm(model)
    initialise(model)
    if hasattr(model, 'roi_head'):
        for parameter in model.roi_head.bbox_head.parameters():
            nn.init.normal_(parameter, std=0.3)
    take_statistics(model)
    with torch.no_grad():
        model.test_step(as_batch(picture))
    return model.eval()


def initialise(model: nn.Module) -> None:
    """Give a model random weights; none are downloaded."""
    for module in model.modules():
        if 'Pretrained' in str(getattr(module, 'init_cfg', None)):
            module.init_cfg = None
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)  # MMEngine logs a line of each weight
    try:
        model.init_weights()
    finally:
        logger.setLevel(level)


def take_statistics(model: nn.Module) -> None:
    """Let a model's batch norms take the statistics of the next picture."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.train()


def class_names(model: nn.Module) -> list[str]:
    """Return a name for each class of a detector."""
    return [f'class {i}' for i in range(box_head(model).num_classes)]


def _exported(
    path: str | os.PathLike, size: Size | None, backend: str, threads: int
) -> Run:
    run, metadata = load_model(path, backend, Engine(threads, 1))
    fixed = metadata['size']
    if fixed and size and [*fixed] != [*size]:
        raise ValueError(
            f'size={size} is not the size of the input of {path}, '
            f'{tuple(fixed)}; leave it out'
        )
    size = fixed or size or metadata['resize']['scale'][::-1]
    batch = metadata.get('batch') or 1  # of such a file, that of all
    pixels = np.repeat(random_picture(*size)[None], batch, 0)
    return lambda: run(pixels)


def _eager(model: nn.Module, size: Size, threads: int) -> Run:
    data = as_batch(random_picture(*size))

    @torch.inference_mode()
    def run() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            model.test_step(copy.copy(data))
        finally:
            torch.set_num_threads(before)

    return run


def _time(run: Run) -> float:
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)
