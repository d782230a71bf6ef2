"""Runs rows side by side, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from . import worker
from .jobs import Row

PAUSE = 0.1  # s, for the threads of the last row to go to sleep
WARM_UP = 3


class Figures(NamedTuple):
    """What was measured of a row.

    Attributes:
        ms: Quartiles of a run, (lower, median, upper).
        stages: Medians by stage, in the order they came.
        peak: MiB of memory of the whole process.
        error: Why there is nothing of the above, if so.
    """

    ms: tuple[float, float, float] | None = None
    stages: dict[str, float] | None = None
    peak: float | None = None
    error: str | None = None


Measured = list[tuple[Row, Figures]]


def measure(
    rows: Sequence[Row], threads: int, rounds: int, runs: int, log: Path
) -> Measured:
    """Return figures of rows that take turns, so that drift hits all alike.

    Args:
        rows: What to run.
        threads: Of each, and cores it may use.
        rounds: How many turns each has.
        runs: How often each runs in a turn.
        log: File of what the processes say.
    """
    with log.open('a') as lines:
        workers = [_Worker(row, threads, lines) for row in rows]
        try:
            for one in workers:
                one.run(WARM_UP if runs > 1 else 1)
                one.laps.clear()
            for _ in range(rounds):
                for one in workers:
                    time.sleep(PAUSE)
                    one.run(runs)
        finally:
            for one in workers:
                one.stop()
    return [(one.row, one.figures()) for one in workers]


class _Worker:
    def __init__(self, row: Row, threads: int, log) -> None:
        self.row = row
        self.laps: list[worker.Laps] = []
        self._peak = 0.0
        self._process = subprocess.Popen(
            [sys.executable, worker.__file__]
            + [json.dumps(row.job | dict(threads=threads))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | dict(OMP_NUM_THREADS=str(threads)),
        )
        self._alive = True

    def run(self, times: int) -> None:
        """Run the row so many times, unless it has failed."""
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

    def figures(self) -> Figures:
        """Return what was measured."""
        if not self._alive:
            return Figures(error='failed; the log says why')
        stages = dict.fromkeys(s for lap in self.laps for s in lap)
        ordered = sorted(stages, key='other'.__eq__)  # that last
        medians = {s: _quartiles(self.laps, s)[1] for s in ordered}
        totals = _quartiles([{'': sum(lap.values())} for lap in self.laps], '')
        return Figures(totals, medians, self._peak)


def _quartiles(laps: Sequence[worker.Laps], stage: str) -> tuple:
    values = [lap.get(stage, 0.0) for lap in laps]
    if len(values) == 1:
        values *= 2
    return tuple(quantiles(values, n=4, method='inclusive'))
