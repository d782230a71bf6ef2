"""Watches over one job: holds its lock, and writes down how it ended.

    python -m fbnetv3_mmdet.playground.supervise FOLDER QUEUE COMMAND ...

It is in a session of its own and needs nobody: what the command prints goes
to a file. The command inherits the lock, so that the kernel drops it only
when the last process of the job has ended, however that was. QUEUE is the
folder of those that run one after the other, or '' to begin at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ..files import complete_file
from .turns import ahead, ask

LOCK, OUTPUT = 'lock', 'output.log'
PROCESS, EXIT = 'process.json', 'exit.json'
PATIENCE = 0.5  # seconds, for the lock
POLL = 0.5  # seconds between looks at whose turn it is
CANCELLED = 143  # as SIGTERM ends a training


def main() -> int:
    """Run the command; return its exit status, as a shell has it."""
    folder, queue, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.nice(5)  # the page answers beside it
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not _take(lock):
        return 3  # the job is in progress
    for former in (EXIT, PROCESS):  # whose number may be another's by now
        (folder / former).unlink(missing_ok=True)
    asked: list[int] = []  # to end, before there is a process
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kept = [lock]
    if queue:
        turn, path = ask(Path(queue))
        kept.append(turn)
        _write(folder / PROCESS, pid=os.getpid(), turn=str(path))
        while not asked and ahead(path):
            time.sleep(POLL)
    status = CANCELLED if asked else _run(folder, command, kept, asked)
    _write(folder / EXIT, status=status, ended=time.time())
    return status


def _run(
    folder: Path, command: list[str], kept: list[int], asked: list[int]
) -> int:
    """Run the command, which keeps some files open; return its status."""
    with open(folder / OUTPUT, 'ab') as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=kept,
            env={**os.environ, 'OMP_WAIT_POLICY': 'PASSIVE'},
        )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    if asked:
        process.terminate()
    _write(folder / PROCESS, pid=process.pid, began=time.time())
    status = process.wait()
    return 128 - status if status < 0 else status


def _take(lock: int) -> bool:
    """Take a lock; a page that asks whether it is held holds it an instant."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)


def _write(path: Path, **content: float | str) -> None:
    with complete_file(path) as part:
        part.write_text(json.dumps(content))


if __name__ == '__main__':
    sys.exit(main())
