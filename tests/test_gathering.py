"""One call for what several threads ask for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fbnetv3_mmdet.gathering import Gather


def ask(items, number, fails=()):
    """Ask for the first item, and for the others while it is worked on.

    Returns:
        The runs, and a future of each item.
    """
    runs, begun, go_on = [], threading.Event(), threading.Event()

    def double(batch):
        runs.append(list(batch))
        begun.set()
        assert go_on.wait(10)
        if set(fails) & {*batch}:
            raise KeyError(*batch)
        return [2 * item for item in batch]

    gather = Gather(double, type, number)
    with ThreadPoolExecutor(len(items)) as pool:
        futures = [pool.submit(gather, items[0])]
        assert begun.wait(10)
        for waiting, item in enumerate(items[1:], 1):
            futures.append(pool.submit(gather, item))
            while len(gather._waiting) < waiting:
                time.sleep(0.001)
        go_on.set()
    assert not gather._waiting
    return runs, futures


def test_what_waits_is_run_together():
    items = [1, 2, 0.5, 3, 4, 5, 1.5]
    runs, futures = ask(items, 3)
    assert [future.result() for future in futures] == [2 * x for x in items]
    assert runs[0] == [1] and sorted(sum(runs, [])) == sorted(items)
    assert sorted(map(len, runs[1:])) == [1, 2, 3]  # four ints, two floats
    assert all(len({*map(type, run)}) == 1 for run in runs)


def test_an_error_is_that_of_its_run():
    runs, futures = ask([1, 2, 3, 0.5], 8, fails=[3])
    assert futures[0].result() == 2 and futures[3].result() == 1
    for future in futures[1:3]:
        with pytest.raises(KeyError):
            future.result()
    assert sorted(map(len, runs)) == [1, 1, 2]
