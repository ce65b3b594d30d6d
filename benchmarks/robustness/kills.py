"""Commands that are watched and killed with all that they started. Linux only: processes are found in /proc."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from overcast.fleet.manifest import NAME as MANIFEST

LOOK_S = 0.02
"""Between two looks at the outputs."""
MARK = "OVERCAST_FAULTS"
"""Variable of the environment by which a command's processes are known: Ray's workers leave its process group."""
WORKERS = {"ray::_compute": "computing", "ray::IDLE": "waiting"}
"""What Ray calls the processes of its workers, and what they are at; those that compute first."""


def outputs(folder: Path) -> list[Path]:
    """What a user sees in a folder of maps, without the manifest."""
    return [path for path in sorted(folder.iterdir()) if path.name[0] != "." and path.name != MANIFEST]


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Watch:
    """Looks at the outputs again and again: each file there must be what an undisturbed run left."""

    def __init__(self, folder: Path, expected: Mapping[str, str]) -> None:
        self._folder, self._expected = folder, expected
        self._seen: set[tuple[str, int, int, int]] = set()
        self.damaged: list[str] = []

    def look(self) -> None:
        """Hash what has come or changed since the last look."""
        for path in outputs(self._folder):
            with suppress(FileNotFoundError):  # taken back between two steps of this look
                status = path.stat()
                state = (path.name, status.st_ino, status.st_size, status.st_mtime_ns)
                if state not in self._seen and digest(path) != self._expected.get(path.name):
                    self.damaged.append(path.name)
                self._seen.add(state)


@dataclass(frozen=True)
class Running:
    """A command and all the processes that it started."""

    process: subprocess.Popen[bytes]
    mark: str
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def follow(self, watch: Watch, until_s: float = float("inf")) -> bool:
        """Watch until the command ends, which is False, or a moment comes, which is True."""
        while self.process.poll() is None:
            watch.look()
            left = until_s - self.elapsed_s
            if left <= 0:
                return True
            time.sleep(min(LOOK_S, left))
        return False

    def kill(self) -> None:
        """SIGKILL to the process group, and to what has left it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        while others := self._processes():
            for number in others:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(LOOK_S)

    def workers(self) -> list[tuple[int, str]]:
        """Ray's workers and what each is at, those that compute first."""
        processes = self._processes().items()
        return [(number, doing) for title, doing in WORKERS.items() for number, name in processes if name == title]

    def kill_worker(self) -> str | None:
        """SIGKILL to a worker, to one that computes if possible; what it was at, or None without any."""
        for number, doing in self.workers():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
                return doing
        return None

    def _processes(self) -> dict[int, str]:
        """First words of the command lines of all processes that carry the mark."""
        wanted, found = f"{MARK}={self.mark}".encode(), dict[int, str]()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # ended meanwhile, or another user's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").split()
                    found[int(folder.name)] = words[0].decode(errors="replace") if words else ""
        return found


@contextmanager
def running(command: Sequence[str], folder: Path, changes: Mapping[str, str]) -> Iterator[Running]:
    """A command, started in a folder with changes to the environment; whatever is left of it is killed in the end.

    What it prints goes to the files `stdout` and `stderr` of the folder.
    """
    mark = uuid4().hex
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **changes, MARK: mark},
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        run = Running(process, mark)
        try:
            yield run
        finally:
            run.kill()
