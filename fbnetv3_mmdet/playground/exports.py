"""What a run ships: an ONNX file, the same in 8 bits, and their figures."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import jobs
from .runs import Run

FOLDER = 'export'
DROPS = (0.5, 1, 2, 5)  # points of AP50
FILES = {'float': 'detector.onnx', 'int8': 'detector-int8.onnx'}
NAMES = {
    '': 'PyTorch, as trained',
    'float': 'ONNX, float',
    'int8': 'ONNX, 8-bit integers',
}  # of the kinds, on the page
_ABSENT = {
    '': 'has no checkpoint yet; wait for its first',
    'float': 'is not exported; do that first',
    'int8': 'is not turned into 8-bit integers; do that first',
}


class Figures(NamedTuple):
    """What the quantizing measured, in the words of its table.

    Attributes:
        columns: Titles: 'backend', metrics, 'ms', 'MB'.
        rows: Of each file in each backend its kind, a key of ``FILES``, and
            the values of the columns.
    """

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def folder_of(run: Run, kind: str) -> Path:
    """Return the folder of the job that writes a run's file of a kind."""
    return run.folder / FOLDER / kind


def file_of(run: Run, kind: str) -> Path:
    """Return the path of a run's file of a kind, written or not."""
    return folder_of(run, kind) / FILES[kind]


def model_of(run: Run, kind: str) -> Path:
    """Return what of a run detects: its file of a kind, '' its checkpoint.

    Raises:
        ValueError: There is none yet.
    """
    path = file_of(run, kind) if kind else run.checkpoint()
    if path is None or not path.is_file() or run.config is None:
        raise ValueError(f'run {run.name!r} {_ABSENT[kind]}')
    return path


def export(run: Run) -> None:
    """Begin to write a run's ONNX file; one of before is replaced.

    Raises:
        ValueError: The run has no checkpoint yet.
    """
    checkpoint = str(model_of(run, ''))
    target = str(file_of(run, 'float'))
    _begin(run, 'float', 'export', str(run.config), checkpoint, target)


def quantize(
    run: Run, images: Path, annotations: Path, drop: float = DROPS[0]
) -> None:
    """Begin to turn a run's exported file into integers.

    Args:
        run: Which was exported.
        images: Folder of training images.
        annotations: Their file.
        drop: Points of AP50 that may be lost, one of ``DROPS``.

    Raises:
        ValueError: The run was not exported, or there is no such choice.
    """
    if drop not in DROPS:
        raise ValueError(f'{drop!r} points of AP50: choose one of {DROPS}')
    model, target = str(model_of(run, 'float')), str(file_of(run, 'int8'))
    options = (
        *('--calibrate', str(images), '--ann', str(annotations)),
        *('--max-drop', str(drop)),
    )
    _begin(run, 'int8', 'quantize', model, target, *options)


def _begin(run: Run, kind: str, *command: str) -> None:
    folder = folder_of(run, kind)
    if not jobs.is_running(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        jobs.start(folder, command)


def read_figures(run: Run) -> Figures | None:
    """Return the table that the quantizing of a run printed, if it did."""
    if not file_of(run, 'int8').is_file():
        return None
    printed = jobs.tail(folder_of(run, 'int8')).splitlines()
    table = [_cells(line) for line in printed if line.startswith('| ')]
    if len(table) < 2:
        return None
    titles, *rows = table
    place = titles.index('file')
    kinds = {name: kind for kind, name in FILES.items()}
    return Figures(
        _without(titles, place),
        [(kinds[Path(r[place]).name], _without(r, place)) for r in rows],
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip('| ').split(' | ')]


def _without(cells: Sequence[str], place: int) -> list[str]:
    return [*cells[:place], *cells[place + 1 :]]
