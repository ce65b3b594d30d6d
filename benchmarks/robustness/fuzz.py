"""Damages every kind of file that Overcast reads, and counts what becomes of it.

    python -m benchmarks.robustness.fuzz --surface all --cases 100000 --seed 0 --report build/fuzz.md

Each case is a valid file, made on the spot and damaged: values of another type, far too large, nested too deep, missing
or doubled where the format has values, and bytes changed. The same surface, seed and number give the same case. The
outcomes:

ok           the file is read
documented   an error of Overcast, one short sentence
raw          any other exception: a traceback for the user
hang         more than 15 s of processor time
crash        the process ended
bad message  an error of Overcast that is empty, longer than 300 characters, of several lines, or tells a secret

Failures are the same where type and innermost frame of the project are. The files of the first three cases of each are
kept in the output folder, and so are the counts: a run that was stopped goes on where it stood, as long as the code of
Overcast and of the fuzzer is the same. The exit status is 1 where there was any failure. Linux only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from benchmarks.limits import at_least
from benchmarks.robustness.pool import FAILURES, OUTCOMES, PROJECT, Chunk, Desk, Outcome, run_chunks
from benchmarks.robustness.surfaces import SURFACES, Surface

from overcast.evaluation.machine import describe_machine

CHUNK = 250
KEPT = 3
"""Files kept of each failure of a surface."""


class Entry(TypedDict):
    """A finished chunk, as a line of the record."""

    code: str
    seed: int
    surface: str
    first: int
    count: int
    outcomes: dict[str, int]
    failures: list[tuple[int, str, str, str]]
    """Number of the case, kind, failure, detail."""


class Record:
    """What is kept of finished chunks, by the code that they were done with."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._file, self._seed, self._code = folder, folder / "chunks.jsonl", seed, _code()
        folder.mkdir(parents=True, exist_ok=True)
        self.chunks: dict[tuple[str, int], Entry] = {}
        for line in self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else ():
            entry: Entry = json.loads(line)
            if entry["code"] == self._code and entry["seed"] == seed:
                self.chunks[entry["surface"], entry["first"]] = entry

    def add(self, chunk: Chunk) -> None:
        """Keep a finished chunk."""
        failures = [(case, found.kind, found.failure, found.detail) for case, found in chunk.failures]
        entry: Entry = {
            "code": self._code,
            "seed": self._seed,
            "surface": chunk.surface.name,
            "first": chunk.cases.start,
            "count": len(chunk.cases),
            "outcomes": dict(chunk.counts),
            "failures": failures,
        }
        self.chunks[chunk.surface.name, chunk.cases.start] = entry
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def keep_files(self, chunk: Chunk) -> None:
        """Write the first files of each failure."""
        seen = Counter[str]()
        with tempfile.TemporaryDirectory() as folder:
            desk = Desk(chunk.surface, Path(folder) / "desk")
            for case, found in chunk.failures:
                seen[found.failure] += 1
                mark = hashlib.sha256(found.failure.encode()).hexdigest()[:8]
                place = self._folder / "failures" / chunk.surface.name.replace(" ", "-").replace("/", "-") / mark
                place.mkdir(parents=True, exist_ok=True)
                if len(list(place.glob("case-*"))) < KEPT:
                    (place / f"case-{case}").write_bytes(desk.content(chunk.seed, case))
                    (place / "failure.txt").write_text(
                        f"{found.kind}: {found.failure}\n{found.detail}\n", encoding="utf-8"
                    )


def _code() -> str:
    """Digest of the sources that decide the outcomes."""
    files = sorted([*PROJECT.rglob("*.py"), *Path(__file__).parent.glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def chunks_of(surfaces: Sequence[Surface], cases: int, seed: int) -> Iterator[Chunk]:
    """All chunks, a first one of every surface before the second of any."""
    for first in range(0, cases, CHUNK):
        for surface in surfaces:
            yield Chunk(surface, seed, range(first, min(first + CHUNK, cases)))


def table(record: Record, surfaces: Sequence[Surface], cases: int) -> str:
    """Counts by surface, and every failure once, as Markdown."""
    lines = [f"| surface | cases | {' | '.join(OUTCOMES)} |", f"|---|{'---|' * (len(OUTCOMES) + 1)}"]
    total, failures, where = Counter[str](), Counter[tuple[str, str]](), defaultdict[tuple[str, str], set[str]](set)
    for surface in surfaces:
        counts = Counter[str]()
        for (name, first), entry in record.chunks.items():
            if name != surface.name or first >= cases:
                continue
            counts.update(entry["outcomes"])
            for _, kind, failure, _ in entry["failures"]:
                failures[kind, failure] += 1
                where[kind, failure].add(name)
        total += counts
        lines.append(_row(surface.name, counts))
    lines.append(_row("**all**", total))
    if failures:
        lines += ["", "| times | kind | failure | surfaces |", "|---|---|---|---|"]
        for (kind, failure), count in failures.most_common():
            lines.append(f"| {count} | {kind} | `{failure}` | {', '.join(sorted(where[kind, failure]))} |")
    return "\n".join(lines) + "\n"


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {name} | {counts.total()} | {' | '.join(str(counts[kind]) for kind in OUTCOMES)} |"


def run(surfaces: Sequence[Surface], cases: int, seed: int, workers: int, record: Record) -> None:
    """Do what is not done yet."""
    todo = [chunk for chunk in chunks_of(surfaces, cases, seed) if _missing(record, chunk)]
    done, started, every = 0, time.monotonic(), sum(len(chunk.cases) for chunk in todo)
    for chunk in run_chunks(todo, workers):
        record.add(chunk)
        record.keep_files(chunk)
        done += len(chunk.cases)
        rate = done / (time.monotonic() - started)
        failed = len(chunk.failures)
        print(
            f"{done}/{every} {rate:.0f}/s {chunk.surface.name}: {failed} of {len(chunk.cases)} failed", file=sys.stderr
        )


def _missing(record: Record, chunk: Chunk) -> bool:
    kept = record.chunks.get((chunk.surface.name, chunk.cases.start))
    return kept is None or kept["count"] != len(chunk.cases)


def chosen(name: str) -> tuple[Surface, ...]:
    """The surfaces of a name: all, or those whose names begin with it, or with one of several separated by commas."""
    starts = tuple("" if start == "all" else start.strip().lower() for start in name.split(","))
    found = tuple(surface for surface in SURFACES if surface.name.lower().startswith(starts))
    if not found:
        raise SystemExit(f"no surface {name!r}; there are: {', '.join(surface.name for surface in SURFACES)}")
    return found


def replay(surface: Surface, path: Path) -> Outcome:
    """What becomes of a file that was kept."""
    with tempfile.TemporaryDirectory() as folder:
        return Desk(surface, Path(folder) / "desk").outcome(path.read_bytes())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--surface", default="all", help="a name, its beginning, several of them separated by commas, or all"
    )
    parser.add_argument("--cases", type=at_least(1), default=1000, help="in all, spread evenly over the surfaces")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--workers", type=at_least(1), default=2)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="counts and failing files")
    parser.add_argument("--report", type=Path, help="Markdown file for the table; by default it is printed alone")
    parser.add_argument("--replay", type=Path, help="a file that was kept: say what becomes of it, and end")
    given = parser.parse_args()
    surfaces = chosen(given.surface)
    warnings.simplefilter("ignore")
    if given.replay is not None:
        print(replay(surfaces[0], given.replay))
        return 0
    each = -(-given.cases // len(surfaces))
    record = Record(given.output, given.seed)
    run(surfaces, each, given.seed, given.workers, record)
    found = table(record, surfaces, each)
    command = (
        f"python -m benchmarks.robustness.fuzz --surface '{given.surface}' --cases {given.cases} --seed {given.seed}"
    )
    head = f"`{command}`, {describe_machine()}, {dt.date.today()}.\n\n"
    print(head + found)
    if given.report is not None:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(head + found, encoding="utf-8")
    failed = any(entry["outcomes"].get(kind) for entry in record.chunks.values() for kind in FAILURES)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
