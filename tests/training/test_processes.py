"""Workers do not outlive a killed command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from overcast.errors import ConfigError
from overcast.processes import sole_user

SCRIPT = """
import multiprocessing, os, pathlib, sys, time
from overcast.processes import end_with_parent

def work(path):
    end_with_parent()
    pathlib.Path(path).write_text(str(os.getpid()))
    time.sleep(100_000)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work, args=(sys.argv[1],)).start()
    time.sleep(100_000)
"""


def test_a_worker_ends_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SCRIPT)
    told = tmp_path / "pid"
    with subprocess.Popen([sys.executable, str(tmp_path / "main.py"), str(told)]) as parent:
        _wait(lambda: told.is_file() and told.read_text() != "")
        worker = int(told.read_text())
        assert _runs(worker)
        parent.send_signal(signal.SIGKILL)
    _wait(lambda: not _runs(worker))


def test_a_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    with (
        sole_user(tmp_path),
        pytest.raises(ConfigError, match="another process is writing"),
        sole_user(tmp_path),
    ):
        pass
    with sole_user(tmp_path):
        pass


def _runs(process: int) -> bool:
    """False for processes that are gone, or ended and not yet collected."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait(true) -> None:
    while not true():  # for ever where it never comes true: the test's own limit ends it
        time.sleep(0.05)
