"""Reading an annotation file that may be hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # not on Windows
    resource = None

SECTIONS = ('images', 'annotations', 'categories')
SHARE = 0.8  # of the free memory that reading may take


def read_annotations(path: str) -> dict[str, Any]:
    """Return the content of an annotation file.

    Raises:
        ValueError: It is missing, no JSON, too large for the memory or too
            deeply nested, or has not the lists of COCO's format.
    """
    fault = None
    try:
        with _memory_limit():
            data = json.loads(Path(path).read_bytes())
    except OSError as error:
        fault = f'cannot be read ({error.strerror})'
    except ValueError as error:
        fault = f'is not JSON ({error})'
    except RecursionError:
        fault = 'is nested too deeply'
    except MemoryError:
        fault = 'is too large for the memory that is free'
    else:
        for section in SECTIONS:
            if not isinstance(data, dict) or not isinstance(
                data.get(section), list
            ):
                fault = f'has no list of {section}'
                break
    if fault:
        raise ValueError(
            f'{path!r} {fault}; give an annotation file in the JSON format '
            'of COCO'
        )
    return data


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Make what takes all memory a MemoryError, where the system can.

    The kernel would kill this process, or another, instead.
    """
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        table = dict(
            line.split()[:2]
            for line in Path('/proc/meminfo').read_text().splitlines()
        )
        free = 1024 * int(table['MemAvailable:'])
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
