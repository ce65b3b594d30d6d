"""The server of jobs with the real network: killed in the middle of a job it goes on to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from raster_files import UTM, write_tiff

from overcast.server.client import Client
from overcast.server.records import load, save
from overcast.server.work import run

DECLARED = {"bands": ["HH", "HV", "VH", "VV"], "unit": "dB", "radar_side": "north", "level": "match", "threshold": 0.03}
RADAR = np.array([29.8, 36.0, 33.4, 26.5])[:, None, None]
GRID = Affine(1, 0, 590_000, 0, -1, 5_750_000)


@contextmanager
def server(root: Path) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    """`overcast serve` as a process of its own."""
    command = [sys.executable, "-m", "overcast", "serve", "--root", str(root), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Client(process.stdout.readline().strip()), process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def scene(root: Path) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(RADAR, 6.0, (4, 1700, 160)).astype(np.float32)
    values[:, 100:1600:60, 40:120] += 12
    write_tiff(root / "town.tif", values, GRID, UTM)


def wait_for(client: Client, number: str, done_km2: float) -> None:
    until = time.monotonic() + 300
    while (state := client.job(number))["km2"]["done"] < done_km2 or state["km2"]["stage"] != "predict":
        assert time.monotonic() < until, state
        assert state["status"] in {"accepted", "running"}, state
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_server_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")  # files carry the time otherwise
    root = tmp_path / "root"
    scene(root)
    with server(root) as (client, process):
        number = client.run("town.tif", **DECLARED)
        wait_for(client, number, 0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    assert not (root / "jobs" / number / "footprints.gpkg").exists()
    with server(root) as (client, _):
        assert client.wait(number, every_s=0.1)["footprints"] > 0
    straight = tmp_path / "straight"
    straight.mkdir()
    save(straight, load(root / "jobs" / number))
    run(straight, root / "town.tif", None, "cpu", lambda _: None)
    for name in ("footprints.gpkg", "probability.tif"):
        assert (root / "jobs" / number / name).read_bytes() == (straight / name).read_bytes(), name
