"""What a run logged, read as it grows, without PyTorch."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path

POINTS = 600  # of a curve
LARGE = 2_000_000  # bytes; of a larger log only some lines are read
_EVALUATION = b'"coco/'  # in the record of one


class Log:
    """The records of a work dir, thinned to what a picture shows.

    Each call of :meth:`read` parses what was added since the last. What a
    resumed run logged replaces what earlier ones did of the same iterations.

    Args:
        work_dir: Of MMEngine's runner.
    """

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._offsets: dict[Path, int] = {}
        self._training: dict[int, dict] = {}
        self._evaluations: dict[int, dict] = {}

    def read(self) -> tuple[list[dict], list[dict]]:
        """Return records of training, at most ``POINTS``, and evaluations."""
        for path in sorted(self._work_dir.glob('*/vis_data/scalars.json')):
            begins = path not in self._offsets
            for record in self._new(path):
                step = record['step']
                if begins and 'iter' in record:
                    self._forget(step)
                    begins = False
                self._add(record, step)
        if len(self._training) > 2 * POINTS:
            self._training = dict(_thin(list(self._training.items())))
        return list(self._training.values()), list(self._evaluations.values())

    def _add(self, record: dict, step: int) -> None:
        if 'iter' in record:
            self._training[step] = record
        else:  # MMEngine gives an evaluation the iteration, or the epoch
            last = max(self._training, default=0)
            self._evaluations[max(step, last)] = record | {
                'step': max(step, last)
            }

    def _forget(self, first: int) -> None:
        for kept in (self._training, self._evaluations):
            for step in [step for step in kept if step >= first]:
                del kept[step]

    def _new(self, path: Path) -> Iterator[dict]:
        offset = self._offsets.get(path, 0)
        size = path.stat().st_size
        if size - offset > LARGE:
            lines, end = _sample(path, offset)
        else:
            with open(path, 'rb') as file:
                file.seek(offset)
                data = file.read(size - offset)
            end = offset + data.rfind(b'\n') + 1  # a line may be half-written
            lines = data[: end - offset].splitlines()
        self._offsets[path] = end
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and type(record.get('step')) is int:
                yield record


def _sample(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Return lines of a large log: some of training, all evaluations."""
    with (
        open(path, 'rb') as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        end = data.rfind(b'\n') + 1
        starts = set()
        for number in range(POINTS + 1):
            place = offset + (end - offset) * number // POINTS
            starts.add(data.rfind(b'\n', 0, max(place - 1, 0)) + 1)
        place = data.find(_EVALUATION, offset)
        while place >= 0:
            starts.add(data.rfind(b'\n', 0, place) + 1)
            place = data.find(_EVALUATION, data.find(b'\n', place))
        lines = [
            data[start : data.find(b'\n', start)]
            for start in sorted(starts)
            if start < end
        ]
    return lines, end


def _thin(items: list) -> list:
    step = len(items) / POINTS
    kept = [items[int(number * step)] for number in range(POINTS)]
    return kept if kept[-1] is items[-1] else [*kept, items[-1]]
