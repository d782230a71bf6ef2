"""Whose turn it is: jobs that must not run together wait for each other.

A turn is a file in the folder of a queue, named by when it was asked for, and
locked by the processes of its job. The kernel drops a lock when the last of
them ends, however that was: no server has to live, and none has to tidy up.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path


def is_locked(path: Path) -> bool:
    """Whether a process has locked a file; False where there is none."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def ask(queue: Path) -> tuple[int, Path]:
    """Ask for a turn.

    Args:
        queue: Folder of the queue; it is made.

    Returns:
        tuple: A file descriptor, to be left open and given to processes as
        long as the turn is needed; and the turn's file.
    """
    queue.mkdir(exist_ok=True, mode=0o700)
    turn = queue / f'{time.time_ns():020}'
    part = turn.with_suffix('.part')  # nobody sees it without its lock
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.rename(part, turn)
    return file, turn


def ahead(turn: Path) -> int:
    """Return how many turns come before one; those that ended are removed."""
    before = 0
    for other in turn.parent.glob('[0-9]*'):
        if other.suffix or other.name >= turn.name:
            continue
        if is_locked(other):
            before += 1
        else:
            other.unlink(missing_ok=True)
    return before
