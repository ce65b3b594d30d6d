"""Cases in forked processes with a limit of time and of address space; what kills one of them is an outcome too."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from benchmarks.robustness.surfaces import Surface

import overcast
from overcast.errors import OvercastError, is_environment_error

PROJECT = Path(overcast.__file__).parent
LONGEST_MESSAGE = 300
"""Characters of a message, the paths of the folder left out."""
CPU_LIMIT_S, WALL_LIMIT_S = 15.0, 120.0
"""Of one case: processor time, and time in all where the machine is shared or the case waits for something."""
ADDRESS_SPACE = 3 * 2**30
"""More than the process has when its cases begin."""
OUTCOMES = ("ok", "documented", "raw", "hang", "crash", "bad message")
FAILURES = OUTCOMES[2:]


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    kind: str
    """One of `OUTCOMES`."""
    failure: str = ""
    """Type and innermost frame of the project: equal for cases of one fault."""
    detail: str = ""


@dataclass
class Chunk:
    """Cases of one surface that are done in a row, and what became of them."""

    surface: Surface
    seed: int
    cases: range
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, Outcome]] = field(default_factory=list)

    def add(self, case: int, outcome: Outcome) -> None:
        """Count a case."""
        self.counts[outcome.kind] += 1
        if outcome.kind in FAILURES:
            self.failures.append((case, outcome))


class Desk:
    """A folder with the valid file of a surface, damaged anew for each case."""

    def __init__(self, surface: Surface, folder: Path) -> None:
        self._surface, self._folder = surface, folder
        self._file = self._fresh()
        self.valid = self._file.read_bytes()
        valid = self.outcome(self.valid)
        if valid.kind != "ok":
            raise RuntimeError(f"the undamaged file of {surface.name} is refused: {valid}")

    def _fresh(self) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self._surface.write(self._folder)

    def content(self, seed: int, case: int) -> bytes:
        """The damaged file of a case."""
        return self._surface.damaged(self.valid, seed, case)

    def outcome(self, content: bytes) -> Outcome:
        """What becomes of a file with this content."""
        if self._surface.afresh:
            self._file = self._fresh()
        self._file.write_bytes(content)
        try:
            self._surface.read(self._file)
        except OvercastError as error:
            return _told(error, str(self._folder))
        except Exception as error:  # noqa: BLE001  # any of them is an outcome
            if is_environment_error(error):  # the command line makes a sentence of these
                return Outcome("documented")
            return Outcome("raw", f"{type(error).__name__} {_frame(error)}", " ".join(str(error).split())[:300])
        return Outcome("ok")


def _told(error: OvercastError, folder: str) -> Outcome:
    message = str(error).replace(f"/private{folder}", "").replace(folder, "")
    flaws = [
        name
        for name, found in (
            ("empty", not message.strip()),
            ("long", any(len(part) > LONGEST_MESSAGE for part in _sentences(message))),
            ("several lines", len(message.splitlines()) > 1),
            ("not printable", not message.isprintable()),
            ("a secret", "PASSW0RD" in message or "S3CRET" in message),
        )
        if found
    ]
    if not flaws:
        return Outcome("documented", "", message)
    return Outcome("bad message", f"{type(error).__name__} {_frame(error)} {' '.join(flaws)}", message[:400])


def _sentences(message: str) -> list[str]:
    """The message; a list of what is wrong with several chips, fault by fault."""
    return message.split("; /") if re.match(r"\d+ of \d+ chips cannot be used", message) else [message]


def _frame(error: BaseException) -> str:
    """Innermost frame of the project, as file:function."""
    inside = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(PROJECT)
    ]
    return f"{Path(inside[-1].filename).relative_to(PROJECT)}:{inside[-1].name}" if inside else "?"


@dataclass
class _Worker:
    """A forked process at its chunk."""

    chunk: Chunk
    pid: int
    pipe: IO[str]
    trace: Path
    waiting: deque[int]
    """Cases without an outcome; the first one is being done."""
    cpu_s: float = 0.0
    since: float = 0.0

    def receive(self) -> bool:
        """Take up what the process says; False once it has ended."""
        line = self.pipe.readline()
        if not line:
            return False
        self.chunk.add(self.waiting.popleft(), Outcome(*json.loads(line)))
        self.cpu_s, self.since = _cpu_s(self.pid), time.monotonic()
        return True

    @property
    def overdue(self) -> bool:
        """True where the case at hand takes longer than it may."""
        return _cpu_s(self.pid) - self.cpu_s > CPU_LIMIT_S or time.monotonic() - self.since > WALL_LIMIT_S


def run_chunks(chunks: Iterable[Chunk], workers: int) -> Iterator[Chunk]:
    """Do chunks in `workers` processes at a time, and yield each when it is done."""
    todo, running = iter(chunks), list[_Worker]()
    memory = Path("/dev/shm")  # noqa: S108  # files in memory are written sooner
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None) as root:
        while True:
            while len(running) < workers and (chunk := next(todo, None)) is not None:
                running.append(_started(chunk, deque(chunk.cases), Path(root)))
            if not running:
                return
            ready, _, _ = select.select([worker.pipe for worker in running], [], [], 1.0)
            for worker in list(running):
                if worker.pipe in ready and worker.receive():
                    continue
                if worker.pipe in ready or worker.overdue:
                    running.remove(worker)
                    again = _ended(worker, Path(root))
                    if again is None:
                        yield worker.chunk
                    else:
                        running.append(again)


def _started(chunk: Chunk, cases: deque[int], root: Path) -> _Worker:
    read, write = os.pipe()
    trace = Path(tempfile.mkstemp(dir=root)[1])
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _work(chunk, cases, write, trace)
    os.close(write)
    worker = _Worker(chunk, pid, os.fdopen(read, encoding="utf-8", buffering=1), trace, cases)
    worker.since = time.monotonic()
    return worker


def _work(chunk: Chunk, cases: Iterable[int], write: int, trace: Path) -> None:
    """The forked process: it leaves by `os._exit`."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        file = trace.open("w")
        faulthandler.enable(file)
        faulthandler.register(signal.SIGUSR1, file, all_threads=False)
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE, size + ADDRESS_SPACE))
        desk = Desk(chunk.surface, trace.with_suffix(".d"))
        for case in cases:
            found = desk.outcome(desk.content(chunk.seed, case))
            os.write(write, (json.dumps([found.kind, found.failure, found.detail]) + "\n").encode())
        os._exit(0)
    except BaseException:  # noqa: BLE001  # a fault of the fuzzer; the process ends
        with suppress(OSError):
            trace.write_text(traceback.format_exc())
        os._exit(70)


def _ended(worker: _Worker, root: Path) -> _Worker | None:
    """Reap a process that ended or is overdue; the one that goes on with the rest of its chunk, if there is any."""
    ended, status = os.waitpid(worker.pid, os.WNOHANG)
    deadline = time.monotonic() + 2
    if ended == 0 and worker.overdue:
        os.kill(worker.pid, signal.SIGUSR1)
        time.sleep(0.5)
        os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
        kind, how = "hang", "over its time"
    else:
        while ended == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
            ended, status = os.waitpid(worker.pid, os.WNOHANG)
        kind, how = "crash", f"status {status}"
    worker.pipe.close()
    frame = _traced(worker.trace)
    shutil.rmtree(worker.trace.with_suffix(".d"), ignore_errors=True)
    if not worker.waiting:
        return None
    worker.chunk.add(worker.waiting.popleft(), Outcome(kind, f"{how} {frame}"))
    return _started(worker.chunk, worker.waiting, root) if worker.waiting else None


def _traced(trace: Path) -> str:
    text = trace.read_text(errors="replace")
    found = re.findall(rf'File "{re.escape(str(PROJECT))}/([^"]+)", line \d+ in (\S+)', text)
    return ":".join(found[0]) if found else "?"


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
