"""Files: written whole or not at all, read within the free memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None

SHARE = 0.8  # of the free memory


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file that appears at ``path`` when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.partial-{path.name}')
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def memory_limit() -> Iterator[None]:
    """Make what takes all memory a MemoryError, where the system can.

    The kernel would kill this process, or another, instead.
    """
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        free = free_memory()
    except (OSError, KeyError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + int(SHARE * free)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


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
