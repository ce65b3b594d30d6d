"""How far long work is: a bar on a terminal, elsewhere (a file, a pipe) a plain line at least every half minute.

All progress of the package goes through `shown`. The lines come from a thread of their own: also a step that takes
minutes, or work that reports nothing, shows that it lives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_S = 25.0
"""Seconds between two lines."""
LOOK_S = 2.5
"""Seconds between two looks at the clock: a line is late by no more."""


class Update(Protocol):
    """Shows how far the work is."""

    def __call__(self, done: float, total: float, stage: str = ..., note: str = ...) -> None:
        """`done` of `total` units of a stage; what was done before its first report does not count for the rate."""
        ...


@dataclass(frozen=True)
class State:
    """How far a stage is."""

    stage: str
    unit: str
    done: float = 0.0
    total: float = 0.0
    first: float = 0.0
    """`done` at the first report of the stage."""
    begun_s: float = 0.0
    note: str = ""
    """What the work says itself, for example its loss."""

    def rate(self, now_s: float) -> float:
        """Units per second since the first report of the stage."""
        return (self.done - self.first) / (now_s - self.begun_s) if now_s > self.begun_s else 0.0

    def line(self, now_s: float) -> str:
        """For people.

        >>> State("mapping", "km²", 3, 9, first=1, begun_s=10, note="row 2").line(14)
        'mapping: 3/9 km², row 2, 0.5 km²/s, 0:00:04 elapsed, about 0:00:12 left'
        """
        parts = [f"{self.done:.5g}/{self.total:.5g} {self.unit}"] if self.total else []
        rate = self.rate(now_s)
        parts += [part for part in (self.note, f"{rate:.3g} {self.unit}/s" if rate else "") if part]
        parts.append(f"{timedelta(seconds=round(now_s - self.begun_s))} elapsed")
        if rate and self.total > self.done:
            parts.append(f"about {timedelta(seconds=round((self.total - self.done) / rate))} left")
        return f"{self.stage}: {', '.join(parts)}"


class Lines:
    """The newest state of some work, printed as a line once the last one is `EVERY_S` old."""

    def __init__(self, say: Callable[[str], None], state: State, clock: Callable[[], float] = monotonic) -> None:
        self._say, self._clock, self._lock = say, clock, threading.Lock()
        self._said = clock()
        self._state = State(state.stage, state.unit, begun_s=self._said)

    def update(self, done: float, total: float, stage: str = "", note: str = "") -> None:
        """Take note of a state."""
        with self._lock:
            former, stage = self._state, stage or self._state.stage
            fresh = stage != former.stage or not former.total
            first, begun_s = (done, self._clock()) if fresh else (former.first, former.begun_s)
            self._state = State(stage, former.unit, done, total, first, begun_s, note)

    def look(self) -> None:
        """Say a line if it is time."""
        with self._lock:
            now_s = self._clock()
            if now_s - self._said >= EVERY_S:
                self._said = now_s
                self._say(self._state.line(now_s))


@contextmanager
def shown(title: str, unit: str, console: Console, clock: Callable[[], float] = monotonic) -> Iterator[Update]:
    """Show work while the block runs; yields the function to call with (done, total) and, if wanted, stage and note."""
    with _bar(title, unit, console) if console.is_terminal else _lines(title, unit, console, clock) as update:
        yield update


@contextmanager
def _lines(title: str, unit: str, console: Console, clock: Callable[[], float]) -> Iterator[Update]:
    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    lines, ended = Lines(say, State(title, unit), clock), threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_S):
            lines.look()

    watcher = threading.Thread(target=watch, name="life signs", daemon=True)
    watcher.start()
    try:
        yield lines.update
    finally:
        ended.set()
        watcher.join()


@contextmanager
def _bar(title: str, unit: str, console: Console) -> Iterator[Update]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.5g}/{task.total:.5g} " + unit),
        TextColumn("{task.fields[rate]} {task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=1, rate="", note="")

        def update(done: float, total: float, stage: str = title, note: str = "") -> None:
            """Show how far it is; a new stage begins at its own zero."""
            if stage != progress.tasks[task].description:
                progress.reset(task, description=stage, rate="", note="")
            speed = progress.tasks[task].speed
            rate = "" if speed is None else f"{speed:.3g} {unit}/s"
            progress.update(task, completed=done, total=total, rate=rate, note=note)

        yield update
