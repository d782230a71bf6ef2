"""Trainings as processes, several at a time on this machine.

Ray's workers get this module by its value: it imports Python's own alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

POLL = 0.1  # s
OUTPUT = 'output.txt'  # of a training, in its folder
TRAIN = (sys.executable, '-m', 'fbnetv3_mmdet', 'train')
_PDEATHSIG = 1  # PR_SET_PDEATHSIG of Linux's prctl.h


class Job(NamedTuple):
    """A training that is to be done or to go on.

    Attributes:
        number: Of the trial.
        config: Path of its config.
        folder: Its work dir.
        settings: Further ones, as ``--cfg-options`` takes them.
    """

    number: int
    config: str
    folder: str
    settings: Mapping[str, str]

    def command(self) -> list[str]:
        """Return what to run."""
        options = [f'{path}={value}' for path, value in self.settings.items()]
        return [
            *(*TRAIN, self.config, '--work-dir', self.folder, '--resume'),
            *('--cfg-options', *options),
        ]


class Ended(NamedTuple):
    """How a job's process ended: exit status and seconds."""

    status: int
    seconds: float


def begin(job: Job, cpus: int, gpus: float) -> subprocess.Popen:
    """Start a job's process, which ends with this one.

    It is in a session of its own: Ctrl-C reaches this process alone, which
    tells it to save. What it prints is added to a file in its folder.

    Args:
        job: What to run.
        cpus: Threads of its calculations.
        gpus: 0 hides the GPUs from it.
    """
    variables = {
        **os.environ,
        'OMP_NUM_THREADS': str(cpus),
        'OMP_WAIT_POLICY': 'PASSIVE',  # threads that wait let others work
    }
    if not gpus:
        variables['CUDA_VISIBLE_DEVICES'] = ''
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    end_with_parent = None
    if sys.platform == 'linux':
        libc = ctypes.CDLL(None)
        end_with_parent = functools.partial(
            libc.prctl, _PDEATHSIG, signal.SIGKILL
        )
    with open(folder / OUTPUT, 'a') as output:
        return subprocess.Popen(
            job.command(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )


def finish(job: Job, cpus: int, gpus: float) -> Ended:
    """Run a job to its end; interrupted, have it save first."""
    start = time.monotonic()
    process = begin(job, cpus, gpus)
    try:
        while process.poll() is None:
            time.sleep(POLL)  # where it can be interrupted
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return Ended(process.returncode, time.monotonic() - start)


class Processes:
    """Runs jobs on this machine, a process each.

    As many run at a time as there are cores for, and once one has ended, as
    have room for what it took at its peak.

    Args:
        cpus: Cores of a job.
    """

    short_of = 'memory'  # where slots become fewer

    def __init__(self, cpus: int = 1) -> None:
        self.cpus = cpus
        self._memory = free_memory()
        self._running: dict[subprocess.Popen, tuple[Job, float]] = {}

    @property
    def slots(self) -> int:
        """How many jobs run at a time."""
        slots = max(1, cores() // self.cpus)
        if self._memory is None:
            return slots
        # kB on Linux, of the largest process; one killed for memory counts
        peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return max(1, min(slots, self._memory // max(1, peak)))

    def __enter__(self) -> Processes:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Have what still runs save and end."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()
        self._running.clear()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
        """Run jobs; yield each when it has ended."""
        waiting = list(jobs)
        while waiting or self._running:
            while waiting and len(self._running) < self.slots:
                job = waiting.pop(0)
                process = begin(job, self.cpus, 0)
                self._running[process] = job, time.monotonic()
            ended = [p for p in self._running if p.poll() is not None]
            for process in ended:
                job, start = self._running.pop(process)
                seconds = time.monotonic() - start
                yield job, Ended(process.returncode, seconds)
            if not ended:
                time.sleep(POLL)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and say how to go on.

    Raises:
        SystemExit: With the shell's status, 128 and the signal's number.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt:
        _stop(signal.SIGINT, None)
    finally:
        signal.signal(signal.SIGTERM, before)


def last_lines(folder: Path, count: int = 5) -> str:
    """Return the end of what a training printed, in one line."""
    path = folder / OUTPUT
    text = path.read_text(errors='replace') if path.exists() else ''
    return ' | '.join(text.splitlines()[-count:])


def _stop(number: int, frame: object) -> None:
    name = signal.Signals(number).name
    sys.stderr.write(
        f'stopped by {name}: trainings save; the same command goes on\n'
    )
    raise SystemExit(128 + number)


def free_memory() -> int | None:
    """Return the bytes that programs can have, None where Linux is not."""
    path = Path('/proc/meminfo')
    lines = path.read_text().splitlines() if path.exists() else ()
    found = [line.split() for line in lines]
    return next(
        (
            int(words[1]) * 1024
            for words in found
            if 'MemAvailable' in words[0]
        ),
        None,
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
