"""Work on several items side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar('T')
U = TypeVar('U')


def ahead(
    function: Callable[[T], U], items: Iterable[T], workers: int
) -> Iterator[U]:
    """Yield the function's value of each item, in their order.

    Args:
        function: Called in threads, of several items at the same time.
        items: Taken by the caller's thread, at most ``workers + 1`` beyond
            the value that is yielded.
        workers: How many threads there are.

    Raises:
        Exception: What the function raises, in the place of its value; what
            the items raise, after the values of those before.
    """
    failure = None
    source = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[U]] = deque()
        try:
            while True:
                try:
                    item = next(source)
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                    break
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    if failure:
        raise failure
