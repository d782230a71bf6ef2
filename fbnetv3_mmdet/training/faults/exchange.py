"""Has all processes of a training know what one of them was told."""

import time

import torch
from mmengine.dist import all_reduce, get_world_size

_PERIOD = 1.0  # seconds from one exchange to the next


class Exchange:
    """Tells all processes of a signal that one of them got.

    Each exchange waits for all of them, and for their devices. Between two
    are as many iterations as take about a second, the same number for all.
    """

    def __init__(self) -> None:
        self._interval = 1
        self._done = 0  # iterations since the last exchange
        self._since = time.monotonic()

    def after_iteration(self, number: int) -> int:
        """Return a signal that all know of now, or 0.

        Args:
            number (int): The signal that this process got, or 0.
        """
        if get_world_size() == 1:
            return number
        self._done += 1
        return 0 if self._done < self._interval else self.now(number)

    def now(self, number: int) -> int:
        """Return the same without waiting; all processes must call this."""
        seconds = time.monotonic() - self._since
        largest = torch.tensor([number, seconds])
        all_reduce(largest, 'max')
        number, seconds = largest.tolist()
        if self._done:
            self._interval = next_interval(self._done, seconds)
        self._done, self._since = 0, time.monotonic()
        return int(number)


def next_interval(done: int, seconds: float) -> int:
    """Return how many iterations take about a second, at least 1.

    They are at most twice as many as before: some may be slow.

    Args:
        done (int): Number of iterations that were timed, at least 1.
        seconds (float): How long they took.
    """
    return max(1, int(min(2 * done, done * _PERIOD / max(seconds, 1e-9))))
