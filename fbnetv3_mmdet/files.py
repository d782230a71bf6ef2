"""Files: written whole or not at all, read within the free memory; configs."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # not on Windows
    resource = None

_PART = '.part'  # in the names of unfinished files, which start with a dot
SHARE = 0.8  # of the free memory


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file that appears at ``path`` when complete.

    The file is written beside its place under a hidden name that has the
    same ending, put onto the disk and renamed. Whenever the process or the
    machine stops, ``path`` is the file of before or the new one. A link stays
    a link, and a file that is replaced keeps its mode.

    Args:
        path: The file to write. Its folder is made where it is missing.

    Raises:
        OSError: The disk is full, or the folder is not writable. Nothing has
            changed then.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a device, say
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{uuid.uuid4().hex}{_PART}{path.suffix}')
    try:
        yield part
        with open(part, 'rb+') as file:
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _sync_names(path.parent)


def remove_parts(folder: Path) -> None:
    """Remove the unfinished files of processes that were killed."""
    for part in folder.glob(f'.*{_PART}*'):
        part.unlink(missing_ok=True)


def config_code(value: Any) -> str:
    """Return a plain value as code of a config.

    MMEngine puts text in place of {{ ... }} before it reads the code, also in
    a name, and what follows would no longer be within quotes.
    """
    return repr(value).replace('{{', r'{\x7b')


def _sync_names(folder: Path) -> None:
    """Put a folder's names onto the disk, a new file's among them.

    Windows opens no folders, and many network and FUSE file systems sync
    none. The file is in its place all the same, so that this is no error.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def memory_limit() -> Iterator[None]:
    """Make what takes all memory a MemoryError, where the system can.

    The kernel would kill this process, or another, instead. The limit is the
    whole process's. It is set by the first thread that asks for it, and ends
    with the last.
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


class _Limit:
    """The limit of a process's memory, and how many threads want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._before: tuple[int, int] | None = None

    def enter(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._before = _limit_memory()

    def leave(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted and self._before is not None:
                resource.setrlimit(resource.RLIMIT_AS, self._before)


_LIMIT = _Limit()


def _limit_memory() -> tuple[int, int] | None:
    """Limit this process's memory; return the limits of before.

    It returns None where the system does not tell how much is free.
    """
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        free = free_memory()
    except (OSError, KeyError):
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + int(SHARE * free)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    return soft, hard


def free_memory() -> int:
    """Return how many bytes Linux can still give.

    Raises:
        OSError: It is another system.
    """
    table = dict(
        line.split()[:2]
        for line in Path('/proc/meminfo').read_text().splitlines()
    )
    return 1024 * int(table['MemAvailable:'])
