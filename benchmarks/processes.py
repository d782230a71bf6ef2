"""Runs rows side by side, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fbnetv3_mmdet.deploy.latency import PAUSE, WARM_UP, Latency, quartiles

from .rows import Row
from .worker import Laps

ROOT = Path(__file__).resolve().parents[1]


class Figures(NamedTuple):
    """What was measured of a row.

    Attributes:
        ms: Milliseconds of a run.
        stages: Their medians by stage, in the order they came, 'other' last.
        peak: MiB of memory of the whole process.
    """

    ms: Latency
    stages: dict[str, float]
    peak: float


def measure(
    rows: Sequence[Row], threads: int, rounds: int, times: int, log: Path
) -> list[tuple[Row, Figures | None]]:
    """Return figures of rows that take turns, so that drift hits all alike.

    Args:
        rows: What to run.
        threads: Threads of each, and cores it may use.
        rounds: How many turns each has.
        times: How often each runs in a turn.
        log: File of what the processes say.

    Returns:
        list: Rows and their figures; None where a process failed, and the
        log says why.
    """
    with log.open('a') as lines:
        workers = [_Worker(row.job, threads, lines) for row in rows]
        try:
            for one in workers:
                one.run(WARM_UP if times > 1 else 1)
                one.laps.clear()
            for _ in range(rounds):
                for one in workers:
                    time.sleep(PAUSE)
                    one.run(times)
        finally:
            for one in workers:
                one.stop()
    return [
        (row, one.figures()) for row, one in zip(rows, workers, strict=True)
    ]


class _Worker:
    def __init__(self, job: dict, threads: int, log) -> None:
        self.laps: list[Laps] = []
        self._peak = 0.0
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'benchmarks.worker']
            + [json.dumps(job | dict(threads=threads))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=os.environ | dict(OMP_NUM_THREADS=str(threads)),
        )
        self._alive = True

    def run(self, times: int) -> None:
        """Run the job so many times, unless it has failed."""
        if not self._alive:
            return
        try:
            print(times, file=self._process.stdin, flush=True)
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ''
        if not reply:
            self._alive = False
            return
        answer = json.loads(reply)
        self.laps += answer['laps']
        self._peak = answer['peak']

    def stop(self) -> None:
        """Let the process end."""
        self._process.communicate()

    def figures(self) -> Figures | None:
        """Return what was measured."""
        if not self._alive:
            return None
        stages = dict.fromkeys(stage for lap in self.laps for stage in lap)
        medians = {
            stage: quartiles([lap.get(stage, 0.0) for lap in self.laps]).median
            for stage in sorted(stages, key='other'.__eq__)
        }
        total = quartiles([sum(lap.values()) for lap in self.laps])
        return Figures(total, medians, self._peak)
