"""Signals that end the command early, with what it has so far."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """A signal asks this process to end.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(f'stopped by {signal.Signals(number).name}')
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped in the main thread upon SIGINT and SIGTERM.

    In other threads, whose signals are not theirs, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, _stop)
        for number in (signal.SIGINT, signal.SIGTERM)
        # a job in the background has them ignored
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)
