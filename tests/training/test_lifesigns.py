"""Long work shows that it lives: a line at least every half minute where there is no terminal."""

from __future__ import annotations

import io
import re
import threading
from itertools import pairwise

import pytest
from rich.console import Console

from overcast import lifesigns
from overcast.lifesigns import EVERY_S, LOOK_S, Lines, State, shown


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_lines_come_every_half_minute_also_without_news():
    clock, said = Clock(), list[tuple[float, str]]()
    lines = Lines(lambda line: said.append((clock.now_s, line)), State("mapping", "km²"), clock)
    for second in range(300):
        clock.now_s = 100.0 + second
        if 60 <= second < 100:
            lines.update(second - 56, 80)
        lines.look()
    moments = [100.0, *(moment for moment, _ in said)]
    assert max(later - former for former, later in pairwise(moments)) + LOOK_S <= 30
    assert len(said) == 299 // EVERY_S
    assert said[0][1] == "mapping: 0:00:25 elapsed"
    assert said[2][1] == "mapping: 19/80 km², 1 km²/s, 0:00:15 elapsed, about 0:01:01 left"


def test_a_stage_of_its_own_has_its_own_rate_and_what_was_done_before_does_not_count():
    clock, said = Clock(), list[str]()
    lines = Lines(said.append, State("training", "steps"), clock)
    lines.update(500, 1000)
    clock.now_s += 30
    lines.update(530, 1000, note="loss 0.5000, 8.0 chips/s")
    lines.look()
    lines.update(0, 10, "validation")
    clock.now_s += 30
    lines.update(5, 10, "validation")
    lines.look()
    assert said == [
        "training: 530/1000 steps, loss 0.5000, 8.0 chips/s, 1 steps/s, 0:00:30 elapsed, about 0:07:50 left",
        "validation: 5/10 steps, 0.167 steps/s, 0:00:30 elapsed, about 0:00:30 left",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_in_a_file_and_a_bar_on_a_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch):
    """The thread that looks at the clock is real; the clock is not."""
    clock, written = Clock(), io.StringIO()
    told = threading.Event()
    monkeypatch.setattr(lifesigns, "LOOK_S", 0.001)
    real = Lines.look

    def look(self: Lines) -> None:
        real(self)
        if written.getvalue():
            told.set()

    monkeypatch.setattr(Lines, "look", look)
    with shown("simulating", "places", Console(file=written, force_terminal=terminal, width=120), clock) as update:
        update(1, 4)
        clock.now_s += EVERY_S
        assert terminal or told.wait()
        update(4, 4)
    said = written.getvalue()
    if terminal:
        assert "simulating" in said
        assert not re.search(r"elapsed", said)
    else:
        assert said == "simulating: 1/4 places, 0:00:25 elapsed\n"
    assert not [thread for thread in threading.enumerate() if thread.name == "life signs"]
