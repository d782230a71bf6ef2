"""Jobs: processes that go on without the server, known by their folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .supervise import EXIT, LOCK, OUTPUT, PROCESS
from .turns import ahead, is_locked

TAIL = 20_000  # bytes, of a log that is shown
STOPPED = (130, 143)  # by Ctrl-C or SIGTERM, having saved
KILLED = 137


class State(NamedTuple):
    """What a job does.

    Attributes:
        name: 'new', 'waiting' for its turn, 'running', 'finished',
            'stopped', 'failed', or 'interrupted' where its processes ended
            without a word.
        line: What it waits for or what went wrong, in the product's words;
            or ''.
    """

    name: str
    line: str = ''


def start(
    folder: Path, command: Sequence[str], queue: Path | None = None
) -> None:
    """Start a command as the job of a folder, in a session of its own.

    Args:
        folder: Which exists; where it has a job that runs, nothing happens.
        command: What follows ``python -m fbnetv3_mmdet``.
        queue: Folder of those that run one after the other; None: at once.
    """
    python = (sys.executable, '-m')
    if is_running(folder):
        return
    for former in (EXIT, PROCESS):
        (folder / former).unlink(missing_ok=True)
    supervisor = subprocess.Popen(
        [
            *(*python, 'fbnetv3_mmdet.playground.supervise'),
            *(str(folder), str(queue or '')),
            *(*python, 'fbnetv3_mmdet', *command),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # It is there within a tenth of a second, or not at all; from then on the
    # job can be stopped.
    while supervisor.poll() is None and not (folder / PROCESS).exists():
        time.sleep(0.01)


def is_running(folder: Path) -> bool:
    """Whether a process of a folder's job lives: it holds the lock."""
    return is_locked(folder / LOCK)


def state(folder: Path) -> State:
    """Return what the job of a folder does, from its files."""
    if is_running(folder):
        turn = _read(folder / PROCESS).get('turn')
        before = ahead(Path(turn)) if turn else 0
        if not before:
            return State('running')
        return State('waiting', f'{before} before it; one runs at a time')
    if not (folder / LOCK).exists():
        return State('new')
    status = _read(folder / EXIT).get('status')
    if status is None:
        return State('interrupted', 'its processes ended without a word')
    if status == 0:
        return State('finished')
    if status in STOPPED:
        return State('stopped')
    if status == KILLED:
        return State(
            'failed',
            'killed from outside, as Linux does where memory runs out',
        )
    return State('failed', error_line(folder) or f'ended with status {status}')


def stop(folder: Path) -> None:
    """Ask a folder's job to save and end; asked again, it ends at once."""
    pid = _read(folder / PROCESS).get('pid')
    if pid and is_running(folder):  # so that the number is still its own
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def tail(folder: Path) -> str:
    """Return the end of what a folder's job printed."""
    try:
        with open(folder / OUTPUT, 'rb') as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode(errors='replace')
    except FileNotFoundError:
        return ''


def error_line(folder: Path) -> str:
    """Return the last line of an error that a folder's job printed."""
    for line in reversed(tail(folder).splitlines()):
        if line.startswith('error: ') or _is_raised(line):
            return line.removeprefix('error: ')
    return ''


def _is_raised(line: str) -> bool:
    """Whether a line is the last of a traceback."""
    name = line.partition(':')[0].rpartition('.')[2]
    return name.isidentifier() and name.endswith(('Error', 'Exception'))


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
