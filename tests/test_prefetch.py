"""Threads that run ahead of a consumer: in order, bounded, stopped with it."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest

from overcast.prefetch import AHEAD_PER_WORKER, in_order, read_ahead


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers: int) -> None:
    def slow(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    assert list(in_order(slow, range(20), workers)) == list(range(20))


def test_threads_run_ahead_only_so_far_and_stop_with_the_consumer() -> None:
    started: list[int] = []
    results = in_order(started.append, range(1000), workers=2)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 1 + 2 * AHEAD_PER_WORKER
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("overcast-prefetch")]


@pytest.mark.parametrize("workers", [0, 2])
def test_error_surfaces_where_its_result_is_taken(workers: int) -> None:
    results = in_order(lambda number: 1 // (3 - number), range(8), workers)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_iterator_is_read_ahead_only_so_far_and_closed_with_the_consumer() -> None:
    read: list[int] = []
    ahead = read_ahead((read.append(number) or number for number in count()), 3)  # type: ignore[func-returns-value]
    assert [next(ahead) for _ in range(4)] == [0, 1, 2, 3]
    time.sleep(0.05)
    assert len(read) <= 4 + 3
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("overcast-prefetch")]
    assert list(read_ahead(iter("ab"), 3)) == ["a", "b"]
