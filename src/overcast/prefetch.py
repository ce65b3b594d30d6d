"""What is needed next is prepared by threads ahead of its consumer; bounded, in order, and no error is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from typing import Final, TypeVar

AHEAD_PER_WORKER = 2
"""Items that each thread may be ahead of the consumer: bounds memory."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class _End:
    """Marks the end of an iterator."""


_END: Final = _End()


def in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int, ahead: int = AHEAD_PER_WORKER
) -> Generator[Result, None, None]:
    """`map` with `workers` threads, each at most `ahead` tasks ahead of the consumer; without, plain `map`.

    Errors surface where their result is taken. Closing it, or its end, stops the threads.

    >>> list(in_order(abs, [-1, -2, 3], workers=2))
    [1, 2, 3]
    """
    if workers == 0:
        yield from map(function, tasks)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="overcast-prefetch")
    pending: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(function, task))
            if len(pending) > ahead * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_ahead(items: Iterator[Result], depth: int) -> Generator[Result, None, None]:
    """Run an iterator in a thread, at most `depth` items ahead of the consumer."""

    def advance(_: None) -> Result | _End:
        return next(items, _END)

    with closing(in_order(advance, repeat(None), 1, depth)) as results:
        for item in results:
            if isinstance(item, _End):
                return
            yield item
