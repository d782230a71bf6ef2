"""What both engines have in common."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

MAX_THREADS = 256

Run = Callable[[np.ndarray], dict[str, np.ndarray]]


class Engine(NamedTuple):
    """How a network is run.

    Attributes:
        threads: Threads of the CPU that work at one image; None: all.
        parallel: How many images are worked at at the same time; None: as
            many as there are cores for.
        device: Such as 'cpu' or 'cuda:1', see :class:`Detector`.
    """

    threads: int | None = None
    parallel: int | None = None
    device: str = 'cpu'

    @property
    def slots(self) -> int:
        """How many images are worked at at the same time."""
        cores = count_cores()
        return self.parallel or max(cores // (self.threads or cores), 1)


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_number(name: str, value: Any) -> None:
    """Refuse a number of threads or images that is none.

    Args:
        name: Of the argument.
        value: Its value; None: left out.

    Raises:
        ValueError: It is no integer from 1 to ``MAX_THREADS``.
    """
    if value is not None and not (
        type(value) is int and 0 < value <= MAX_THREADS
    ):
        what = 'threads' if name == 'threads' else 'images'
        raise ValueError(
            f'{name}={value!r:.99} is no number of {what}; give 1 to '
            f"{MAX_THREADS}, or leave it out for the backend's choice"
        )


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def share(runs: Iterable[Run]) -> Run:
    """Return what runs each image in one that is free, or waits for it."""
    free: queue.LifoQueue[Run] = queue.LifoQueue()
    for run in runs:
        free.put(run)

    def run_free(pixels: np.ndarray) -> dict[str, np.ndarray]:
        run = free.get()
        try:
            return run(pixels)
        finally:
            free.put(run)

    return run_free
