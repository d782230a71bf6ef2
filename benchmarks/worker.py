"""One engine in a process of its own.

Run with a job as JSON, so that an engine that needs no PyTorch does not load
it. It reads numbers from stdin, runs the job so many times, and writes a line
of JSON: ``laps``, a dict of milliseconds by stage for each run, and ``peak``,
MiB of memory.

A job has ``engine`` (a key of ``ENGINES``), ``threads``, and what the engine
reads: ``image`` (.npy of uint8, (H, W, 3), RGB), ``model`` (ONNX file,
config, or name in torchvision) and so on.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PINS = hasattr(os, 'sched_setaffinity')  # Linux
Laps = dict[str, float]
Run = Callable[[], Laps]


class StageClock:
    """Attributes time to stages; one inside another interrupts it.

    Attributes:
        laps (dict): Milliseconds by stage since the last :meth:`reset`.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self.laps: Laps = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Attribute the time inside to a stage."""
        self._charge()
        self._stack.append(name)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def watch(self, owner: object, method: str, name: str) -> None:
        """Attribute the time in a method of an object to a stage."""
        call = getattr(owner, method)

        def timed(*args, **kwargs):
            with self.stage(name):
                return call(*args, **kwargs)

        setattr(owner, method, timed)

    def timed(self, run: Callable[[], object]) -> Run:
        """Return ``run`` as what gives its time by stage."""

        def lap() -> Laps:
            self.reset()
            with self.stage('other'):
                run()
            return self.laps

        return lap

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._stack:
            name = self._stack[-1]
            passed = 1000 * (now - self._last)
            self.laps[name] = self.laps.get(name, 0) + passed
        self._last = now


def load_exported(job: dict) -> Run:
    """Return an exported detector, from a decoded image to boxes in it."""
    import numpy as np

    from fbnetv3_runtime import Detector

    image = np.load(job['image'])
    detector = Detector(job['model'], job['backend'], job['threads'])
    clock = StageClock()
    clock.watch(detector, 'resize', 'preprocess')
    clock.watch(detector, '_run', 'network')
    clock.watch(detector, 'interpret', 'postprocess')
    return clock.timed(lambda: detector.predict(image))


def load_network(job: dict) -> Run:
    """Return an ONNX file of one input, float32 of ``shape``."""
    import numpy as np

    from fbnetv3_runtime.backends import BACKENDS
    from fbnetv3_runtime.engine import Engine

    load = BACKENDS[job['backend']].load
    network, *_ = load(job['model'], Engine(job['threads'], 1))
    values = np.random.default_rng(0).random(job['shape'], np.float32)
    clock = StageClock()

    def run() -> None:
        with clock.stage('network'):
            network(values)

    return clock.timed(run)


def load_eager(job: dict) -> Run:
    """Return a config's detector in MMDetection."""
    from .eager import inference

    return inference(job, StageClock())


def load_training(job: dict) -> Run:
    """Return a training step."""
    from .eager import training

    return training(job, StageClock())


def load_torchvision(job: dict) -> Run:
    """Return a detector of torchvision."""
    import numpy as np
    import torch

    from .peers import build_peer

    torch.set_num_threads(job['threads'])
    model = build_peer(job['model'])
    pixels = torch.from_numpy(np.load(job['image']))
    clock = StageClock()

    @torch.inference_mode()
    def run() -> None:
        with clock.stage('network'):
            model([pixels.permute(2, 0, 1).float() / 255])

    return clock.timed(run)


def peak_memory() -> float:
    """Return the most memory this process has had, in MiB."""
    status = Path('/proc/self/status')
    if status.exists():  # getrusage counts what the parent had
        fields = dict(
            line.split(':', 1) for line in status.read_text().splitlines()
        )
        return int(fields['VmHWM'].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


ENGINES = {
    'exported': load_exported,
    'network': load_network,
    'eager': load_eager,
    'training': load_training,
    'torchvision': load_torchvision,
}


def main() -> None:
    """Serve one job."""
    replies = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print
    job = json.loads(sys.argv[1])
    if PINS:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-job['threads'] :])
    run = ENGINES[job['engine']](job)
    for line in sys.stdin:
        laps = [run() for _ in range(int(line))]
        reply = json.dumps(dict(laps=laps, peak=peak_memory()))
        print(reply, file=replies, flush=True)


if __name__ == '__main__':
    main()
