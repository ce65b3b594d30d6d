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
from typing import Any

import numpy as np
import pytest
from affine import Affine
from raster_files import UTM, write_tiff

import overcast
from overcast.server.client import Client
from overcast.server.jobs import Jobs
from overcast.server.models import Models
from overcast.server.records import Inputs, Record, load, now, save
from overcast.server.root import Limits, open_root
from overcast.server.work import Files, run

DECLARED = {"bands": ["HH", "HV", "VH", "VV"], "unit": "dB", "radar_side": "north", "level": "match", "threshold": 0.03}
RADAR = np.array([29.8, 36.0, 33.4, 26.5])[:, None, None]
GRID = Affine(1, 0, 590_000, 0, -1, 5_750_000)


@contextmanager
def server(root: Path, *options: str) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    """`overcast serve` as a process of its own."""
    command = [
        sys.executable,
        "-m",
        "overcast",
        "serve",
        "--root",
        str(root),
        "--port",
        "0",
        "--device",
        "cpu",
        *options,
    ]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
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
    assert "Fatal" not in (root / "jobs" / number / "log.txt").read_text(encoding="utf-8")
    require_bytes_of_one_process(root, number, tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets that Ray leaves to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_on_a_cluster_jobs_are_cancelled_and_go_on_to_the_bytes_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    monkeypatch.setenv("PYTHONPATH", str(Path(overcast.__file__).parents[1]))  # its workers find the package
    root = tmp_path / "root"
    scene(root)
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        with server(root, "--address", cluster.address) as (client, process):
            first, second = (client.run("town.tif", **DECLARED) for _ in range(2))
            wait_for(client, first, 0.05)
            assert client.job(second)["status"] == "accepted"
            client.cancel(first)
            wait_for(client, second, 0.05)  # the worker is free: it was the only one
            os.kill(process.pid, signal.SIGKILL)
            process.wait(60)
        assert not (root / "jobs" / second / "footprints.gpkg").exists()
        with server(root, "--address", cluster.address) as (client, _):
            assert client.job(first)["status"] == "dismissed"
            assert client.wait(second, every_s=0.1)["footprints"] > 0
    finally:
        cluster.shutdown()
    require_bytes_of_one_process(root, second, tmp_path / "straight")


def require_bytes_of_one_process(root: Path, number: str, straight: Path) -> None:
    """Carry a job out again, here and at once, and compare what it leaves."""
    straight.mkdir()
    save(straight, load(root / "jobs" / number))
    run(straight, Files(scene=root / "town.tif"), "cpu", None, lambda _: None)
    for name in ("footprints.gpkg", "probability.tif"):
        assert (root / "jobs" / number / name).read_bytes() == (straight / name).read_bytes(), name


SAID: dict[str, Any] = {"bands": ["HH", "HV"], "unit": "dB", "radar_side": "north", "level": "keep", "threshold": 0.01}


def beside(root: Path) -> None:
    """A scene, an image of the western three quarters of it, and clouds over the western half."""
    rng, grid = np.random.default_rng(0), GRID @ Affine.scale(0.5)
    write_tiff(root / "a.tif", rng.normal(25, 6, (2, 64, 96)).astype(np.float32), grid, UTM)
    write_tiff(root / "ortho.tif", rng.integers(60, 140, (3, 64, 72)).astype(np.uint8), grid, UTM)
    clouds = np.zeros((1, 64, 96), np.uint8)
    clouds[..., :48] = 9
    write_tiff(root / "mask.tif", clouds, grid, UTM)
    write_tiff(root / "bright.tif", np.full((3, 64, 96), 60_000, np.uint16), grid, UTM)
    write_tiff(root / "far.tif", np.full((3, 8, 8), 100, np.uint8), grid @ Affine.translation(9000, 0), UTM)


def made(root: Path, name: str, files: Files, optical: dict[str, Any] | None) -> tuple[dict[str, Any], bytes]:
    """What a job says of its result, and its probabilities."""
    folder = root / name
    folder.mkdir()
    save(
        folder,
        Record(id=name, inputs=Inputs.model_validate({"scene": "a.tif", "optical": optical, **SAID}), created=now()),
    )
    return run(folder, files, "cpu", None, lambda _: None), (folder / "probability.tif").read_bytes()


def test_an_optical_image_is_used_where_it_shows_the_ground(
    cmhcl_run: Path, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    beside(tmp_path)
    files = Files(scene=tmp_path / "a.tif", model=cmhcl_run)
    images = {"optical": (tmp_path / "ortho.tif",), "clouds": tmp_path / "mask.tif"}
    alone = made(tmp_path, "alone", files, None)
    both = {"files": ["ortho.tif"], "clouds": "mask.tif", "cloud_values": [9]}
    seen = made(tmp_path, "both", files.model_copy(update=images), both)
    assert (alone[0]["optical_share"], seen[0]["optical_share"]) == (None, 0.25)
    assert alone[1] != seen[1]


def test_what_is_wrong_with_an_optical_image_is_said_before_the_job(cmhcl_run: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "town").symlink_to(cmhcl_run)
    root = tmp_path / "root"
    beside(root)
    jobs = Jobs(open_root(root, Limits()), Models(models))

    def look(model: str = "town", **optical: Any) -> dict[str, Any]:
        return jobs.check(Inputs.model_validate({"scene": "a.tif", "model": model, "optical": optical, **SAID}))

    ready = look(files=["ortho.tif"], clouds="mask.tif", cloud_values=[9])
    assert ready["ready"], ready
    assert "far.tif shows no ground of a.tif: it is mapped from SAR alone" in look(files=["far.tif"])["steps"]
    wrong = [
        (look("buildings-simulated-1m", files=["ortho.tif"]), "has no optical branch"),
        (look(files=["mask.tif"]), "mask.tif"),
        (look(files=["bright.tif"]), "scale the image as the training images were"),
        (look(files=["ortho.tif"], cloud_values=[9]), "no cloud mask"),
    ]
    for answer, meant in wrong:
        assert not answer["ready"]
        assert meant in answer["sentence"], answer
        assert str(root) not in answer["sentence"]
