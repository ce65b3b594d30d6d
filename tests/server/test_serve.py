"""The server of jobs: uploads, the queue, events, results, restarts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raster_files import write_tiff
from serve_cases import LIMITS, execute, make_root
from viewer_cases import Client, running

from overcast.cli.serve import serve
from overcast.errors import ConfigError, InputError
from overcast.server.app import ServerOptions, create_server
from overcast.server.client import Client as Caller
from overcast.server.jobs import Jobs
from overcast.server.models import Models
from overcast.server.records import Inputs, Status, load
from overcast.server.root import open_root
from overcast.viewer.safety import Access


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_root(tmp_path, monkeypatch)


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with running(create_server(open_root(folder, LIMITS), Access())) as asked:
        yield asked


def ended(client: Client, number: str) -> dict[str, Any]:
    """A job when nothing more happens."""
    return until(client, number, lambda state: state["status"] not in {"accepted", "running"})


def until(client: Client, number: str, done: Any) -> dict[str, Any]:
    for _ in range(3000):
        state = client.ask(f"/jobs/{number}").json()
        if done(state):
            return state
        time.sleep(0.02)
    raise AssertionError(state)


def test_a_job_from_scene_to_downloads(client: Client, tmp_path: Path) -> None:
    caller = Caller(client.base)
    assert caller.scenes() == ["bad.tif", "deep/er/scene.tiff", "hostile.tif", "slow.tif", "town.tif"]
    number = caller.run("town.tif", radar_side="north", bands=["HH", "HV"], unit="dB")
    state = caller.wait(number, every_s=0.02)
    assert (state["footprints"], state["progress"], state["km2"]["done"]) == (36, 100, 1.0)
    for ending, head in (("gpkg", b"SQLite"), ("parquet", b"PAR1"), ("geojson", b"{"), ("tif", b"II")):
        path = caller.download(number, tmp_path / f"out.{ending}")
        assert path.read_bytes().startswith(head)
    assert client.ask(f"/jobs/{number}/results").json()["parquet"]["type"] == "application/vnd.apache.parquet"
    disposition = client.ask(f"/jobs/{number}/results/gpkg").headers["content-disposition"]
    assert 'filename="town-footprints.gpkg"' in disposition
    info = client.ask(f"/maps/job-{number}").json()
    assert info["layers"]["footprints"]["count"] == 36
    caller.cancel(number)
    with pytest.raises(InputError, match="no such job"):
        caller.job(number)
    assert client.ask(f"/maps/job-{number}").status == 404


def test_what_is_missing_is_asked_for_in_the_words_of_the_form(client: Client, folder: Path) -> None:
    answer = Caller(client.base).check("deep/er/scene.tiff", unit="dB")
    assert answer == {
        "ready": False,
        "sentence": "deep/er/scene.tiff does not say from which side the radar looked; give “radar side” north.",
    }


def test_an_optical_image_and_its_clouds_are_inputs(client: Client, folder: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "layers" / "ortho.tif", folder / "ortho.tif")
    beside = {"files": ["ortho.tif", "town.tif"], "clouds": "deep/er/scene.tiff", "cloud_values": [3, 8], "nodata": 0}
    number = Caller(client.base).run("town.tif", radar_side="north", optical=beside)
    assert ended(client, number)["optical_share"] == 0.5
    files = json.loads((folder / "jobs" / number / "files.json").read_text(encoding="utf-8"))
    assert files["optical"] == [str(folder / "ortho.tif"), str(folder / "town.tif")]
    assert files["clouds"] == str(folder / "deep" / "er" / "scene.tiff")
    kept = load(folder / "jobs" / number).inputs.optical
    assert kept is not None
    assert kept.model_dump() == beside
    assert client.ask(f"/maps/job-{number}").json()["layers"]["optical"]["file"] == "ortho.tif"
    (folder / "ortho.tif").unlink()
    with running(create_server(open_root(folder, LIMITS), Access())) as again:
        assert "optical" not in again.ask(f"/maps/job-{number}").json()["layers"]


@pytest.mark.parametrize(
    ("optical", "status", "meant"),
    [
        ({"files": ["../secret.tif"]}, 400, "within the folder"),
        ({"files": ["town.tif", "link.tif"]}, 404, "there is no scene"),
        ({"files": ["all.vrt"]}, 415, "GeoTIFF"),
        ({"files": ["town.tif"], "clouds": "/vsizip/town.tif"}, 400, "within the folder"),
        ({"files": ["wide.tif"]}, 413, "cut it into parts"),
        ({"clouds": "town.tif"}, 400, "files"),
        ({"files": ["town.tif"], "mask": "town.tif"}, 400, "mask"),
    ],
)
def test_an_optical_image_is_a_file_of_the_folder(
    client: Client, folder: Path, optical: dict[str, Any], status: int, meant: str
) -> None:
    write_tiff(folder / "wide.tif", np.zeros((3, 400, 400), np.uint8))
    answer = execute(client, "town.tif", optical=optical)
    assert (answer.status, meant in answer.json()["detail"]) == (status, True), answer.json()


def test_jobs_that_fail_or_crash_say_so_and_the_next_one_goes_on(client: Client) -> None:
    numbers = [execute(client, name).json()["jobID"] for name in ("bad.tif", "hostile.tif", "town.tif")]
    states = [ended(client, number) for number in numbers]
    assert [state["status"] for state in states] == ["failed", "failed", "successful"]
    assert states[0]["message"] == "bad.tif is damaged; copy it again."
    assert "ended without a word" in states[1]["message"]
    assert client.ask(f"/jobs/{numbers[0]}/results/gpkg").status == 404


def test_one_job_at_a_time_and_no_more_than_the_queue_takes(client: Client, folder: Path) -> None:
    first, second, third = (execute(client, name).json()["jobID"] for name in ("slow.tif", "town.tif", "town.tif"))
    until(client, first, lambda state: state["km2"]["done"] == 1.0)
    assert client.ask(f"/jobs/{second}").json()["status"] == "accepted"
    refused = execute(client, "town.tif")
    assert (refused.status, "come back later" in refused.json()["detail"]) == (429, True)
    assert client.ask(f"/jobs/{third}", "DELETE").json()["status"] == "dismissed"
    assert client.ask(f"/jobs/{first}", "DELETE").json()["status"] == "dismissed"
    assert ended(client, second)["status"] == "successful"
    assert client.ask(f"/jobs/{first}").json()["message"] == "cancelled"


def test_events_tell_every_state_until_the_last(client: Client, folder: Path) -> None:
    number = execute(client, "slow.tif").json()["jobID"]
    until(client, number, lambda state: state["km2"]["done"] == 1.0)
    (folder / "go").touch()
    answer = client.ask(f"/jobs/{number}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    assert states[0]["km2"] == {"stage": "predict", "done": 1.0, "total": 4.0, "remaining_s": 9.0}
    assert states[0]["progress"] == 25
    assert states[-1]["status"] == "successful"


def test_a_server_that_starts_again_goes_on(folder: Path) -> None:
    root = open_root(folder, LIMITS)
    with running(create_server(root, Access())) as client:
        first, second = (execute(client, name).json()["jobID"] for name in ("slow.tif", "town.tif"))
        until(client, first, lambda state: state["status"] == "running")
    assert load(root.jobs / first).status is Status.RUNNING
    (root.jobs / "torn").mkdir()
    (root.jobs / "torn" / "job.json").write_text('{"id": "torn", "inp', encoding="utf-8")
    (folder / "go").touch()
    with running(create_server(root, Access())) as client:
        assert ended(client, first)["status"] == "successful"
        assert ended(client, second)["status"] == "successful"
        assert client.ask("/jobs/torn").status == 404


def test_each_device_has_a_job_of_its_own(folder: Path) -> None:
    options = ServerOptions(devices=("cpu", "cuda:7"))
    with running(create_server(open_root(folder, LIMITS), Access(), options)) as client:
        numbers = [execute(client, "slow.tif").json()["jobID"] for _ in range(2)]
        devices = [until(client, number, lambda state: state["status"] == "running")["device"] for number in numbers]
        assert sorted(devices) == ["cpu", "cuda:7"]
        (folder / "go").touch()
        assert [ended(client, number)["status"] for number in numbers] == ["successful"] * 2


@pytest.mark.parametrize(
    ("address", "device", "installed", "meant"),
    [
        ("auto", "auto", False, r"pip install 'overcast\[cluster\]'"),
        ("local", "auto", True, "auto, or host:port"),
        ("auto", "cuda:1", True, "Ray chooses the GPU"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, device: str, installed: bool, meant: str
) -> None:
    monkeypatch.setattr("overcast.cli.serve.find_spec", lambda _: object() if installed else None)
    with pytest.raises(ConfigError, match=meant):
        serve(root=tmp_path, address=address, device=[device])


def test_an_upload_becomes_a_scene(client: Client, folder: Path, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "näw scene.tif", np.ones((1, 30, 30), np.float32))
    assert Caller(client.base).upload(path) == "uploads/näw scene.tif"
    assert (folder / "uploads" / "näw scene.tif").read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="another name"):
        Caller(client.base).upload(path)
    shown = next(one for one in client.ask("/scenes").json()["scenes"] if one["name"].startswith("uploads/"))
    assert client.ask(f"/maps/{shown['map']}").json()["layers"]["scene"]["file"] == "näw scene.tif"


def test_the_api_is_described(client: Client) -> None:
    described = client.ask("/openapi.json").json()
    assert {"/processes/predict/execution", "/jobs/{number}/events", "/uploads/{name}"} <= set(described["paths"])
    process = client.ask("/processes/predict").json()
    assert process["inputs"]["scene"]["minOccurs"] == 1
    assert set(process["outputs"]) == {"gpkg", "parquet", "geojson", "tif"}
    assert client.ask("/processes").json()["processes"][0]["id"] == "predict"
    assert client.ask("/conformance").json()["conformsTo"]


def test_models_are_those_of_the_folder(tmp_path: Path, folder: Path) -> None:
    from overcast.bundle.contract import INSTALLED
    from overcast.installed.folders import installed_models

    shutil.copytree(INSTALLED, tmp_path / "models" / "mine")
    (tmp_path / "models" / "broken").mkdir()
    models = Models(tmp_path / "models")
    assert [one["name"] for one in models.listed()] == [
        *(model.name for model in installed_models() if model.packaged),
        "mine",
    ]
    assert models.path("mine") == tmp_path / "models" / "mine"
    assert models.path("") is None
    jobs = Jobs(open_root(folder, LIMITS), models)
    assert jobs.submit(Inputs(scene="town.tif", model="mine")).inputs.model == "mine"


def test_a_client_of_no_server_says_so() -> None:
    with pytest.raises(InputError, match="begins with http"):
        Caller("file:///etc")
    with pytest.raises(InputError, match="does not answer"):
        Caller("http://127.0.0.1:1").scenes()
