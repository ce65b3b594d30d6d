"""Every kind of file that is read, damaged: no traceback, no hang, one short sentence. A fast part of the fuzzer."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from benchmarks.robustness import fuzz, pool
from benchmarks.robustness.mutations import DEEP
from benchmarks.robustness.pool import FAILURES, Chunk, Desk, run_chunks
from benchmarks.robustness.surfaces import SURFACES, Surface

from overcast.errors import InputError

CASES = 20
SEED = 0
TEXTS = tuple(surface for surface in SURFACES if "TIFF" not in surface.name and "PNG" not in surface.name)
WORST = {
    "nothing": b"",
    "another encoding": '{"a": "ü"}'.encode("latin-1"),
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "lists without end": b"[" * DEEP,
    "objects without end": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a number": b"5",
    "an empty list": b"[]",
    "digits": b"9" * 5000,
    "elements without end": b"<a>" * DEEP,
    "half a character": b'{"a": "\\ud800"}',
    "zeros": b"\0" * 100,
    "an open quote": b'key,split\n"' + b"a" * 200_000,
}
"""Contents that every reader of text must refuse or pass over."""


def failures(surface: Surface, folder: Path) -> list[str]:
    """Cases that end in anything but a result or a sentence."""
    desk = Desk(surface, folder)
    found = []
    for case in range(CASES):
        outcome = desk.outcome(desk.content(SEED, case))
        if outcome.kind in FAILURES:
            found.append(f"case {case}: {outcome}")
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_damaged_files_end_in_a_result_or_a_sentence(surface: Surface, tmp_path: Path) -> None:
    assert failures(surface, tmp_path / "desk") == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("surface", TEXTS, ids=lambda surface: surface.name)
def test_the_worst_texts_are_refused_or_passed_over(surface: Surface, tmp_path: Path) -> None:
    desk = Desk(surface, tmp_path / "desk")
    outcomes = {name: desk.outcome(content) for name, content in WORST.items()}
    assert {name: str(found) for name, found in outcomes.items() if found.kind in FAILURES} == {}


def test_cases_are_the_same_each_time(tmp_path: Path) -> None:
    for surface in (SURFACES[0], SURFACES[10], SURFACES[-1]):
        first, second = (Desk(surface, tmp_path / name) for name in ("a", "b"))
        assert [first.content(3, case) for case in range(5)] == [second.content(3, case) for case in range(5)]
        assert first.content(3, 0) != first.content(4, 0)


@pytest.mark.filterwarnings("ignore")
def test_the_command_counts_goes_on_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["fuzz.py", "--surface", "split.json", "--cases", "30", "--workers", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", given)
    assert fuzz.main() == 0
    first = capsys.readouterr()
    assert fuzz.main() == 0
    second = capsys.readouterr()
    assert first.out == second.out
    assert "30/30" in first.err
    assert second.err == ""
    (chunk,) = map(json.loads, (tmp_path / "chunks.jsonl").read_text().splitlines())
    assert sum(chunk["outcomes"].values()) == 30
    assert "| **all** | 30 |" in first.out


def hang(path: Path) -> None:
    while path.exists():
        pass


def test_hangs_and_crashes_are_outcomes_with_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CPU_LIMIT_S", 0.2)

    def read(path: Path) -> None:
        match path.read_bytes():
            case b"1":
                hang(path)
            case b"2":
                os.kill(os.getpid(), signal.SIGSEGV)
            case b"3":
                raise InputError("a" * 301)
            case b"4":
                raise KeyError("b")

    def write(folder: Path) -> Path:
        (folder / "a").write_bytes(b"valid")
        return folder / "a"

    surface = Surface("odd", write, read, lambda content, rng: content)
    monkeypatch.setattr(Surface, "damaged", lambda _self, _content, _seed, case: str(case).encode())
    (done,) = run_chunks([Chunk(surface, 0, range(6))], 1)
    assert [(case, found.kind) for case, found in done.failures] == [
        (1, "hang"), (2, "crash"), (3, "bad message"), (4, "raw")
    ]  # fmt: skip
    assert done.counts["ok"] == 2
