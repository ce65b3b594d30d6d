"""One thread that writes behind; bounded, and no error of it is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class WriteBehind:
    """Runs jobs in order in one thread, at most `depth` of them waiting.

    What a job raises is raised by a later `submit`, or when the block ends; jobs behind a failed one do not run.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="overcast-write")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; blocks while the queue is full."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._run, job))

    def _run(self, job: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            job()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._failed = True  # what is still waiting is of no use
        self._pool.shutdown(wait=True)
        for future in self._waiting:
            failure = future.exception()
            if failure is not None and error is None:
                raise failure
            if failure is not None and error is not None:
                error.add_note(f"Writing failed too: {failure!r}")
