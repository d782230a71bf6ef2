"""One call for what several threads ask for at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar('T')
U = TypeVar('U')


class Gather(Generic[T, U]):
    """Answers single items by a function of several.

    While the function runs, other threads' items wait; the next run takes
    those that are alike together. None waits for more to come.

    Args:
        function: Returns a value for each of its items; one thread at a time
            calls it.
        kind: Items of equal ``kind(item)`` may be in one run.
        number (int): The most items of a run.
    """

    def __init__(
        self,
        function: Callable[[Sequence[T]], Sequence[U]],
        kind: Callable[[T], Hashable],
        number: int,
    ) -> None:
        self._function = function
        self._kind = kind
        self._number = number
        self._running = threading.Lock()
        self._waiting: list[_Request[T, U]] = []

    def __call__(self, item: T) -> U:
        """Return the value of an item.

        Raises:
            Exception: What the function raised in the run of this item.
        """
        request: _Request[T, U] = _Request(item, self._kind(item))
        self._waiting.append(request)
        with self._running:
            if not request.future.done():
                self._run(request)
        return request.future.result()

    def _run(self, first: _Request[T, U]) -> None:
        """Run a request, and those with it that wait and are alike."""
        others = [
            request
            for request in list(self._waiting)
            if request.kind == first.kind and request is not first
        ]
        batch = [first, *others[: self._number - 1]]
        for request in batch:
            self._waiting.remove(request)
        try:
            values = self._function([request.item for request in batch])
            for request, value in zip(batch, values, strict=True):
                request.future.set_result(value)
        except BaseException as error:
            for request in batch:
                request.future.set_exception(error)


@dataclass(eq=False)
class _Request(Generic[T, U]):
    item: T
    kind: Hashable
    future: Future[U] = field(default_factory=Future)
