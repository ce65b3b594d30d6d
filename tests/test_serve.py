"""The server of jobs: uploads, the queue, events, results, restarts; and what hostile requests come to."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from raster_files import NORTH_UP, UTM, write_tiff
from serve_cases import LIMITS, make_root
from viewer_cases import Answer, Client, running

from overcast.errors import InputError
from overcast.server.app import ServerOptions, create_server
from overcast.server.client import Client as Caller
from overcast.server.jobs import Jobs
from overcast.server.models import Models
from overcast.server.records import Inputs, Status, load
from overcast.server.root import open_root
from overcast.viewer.safety import Access

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_root(tmp_path, monkeypatch)


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with running(create_server(open_root(folder, LIMITS), Access())) as asked:
        yield asked


def execute(client: Client, scene: str, **inputs: Any) -> Answer:
    body = json.dumps({"inputs": {"scene": scene, **inputs}})
    return client.ask("/processes/predict/execution", "POST", body, JSON)


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


def tiff_bytes(values: Any, **profile: Any) -> bytes:
    with rasterio.MemoryFile() as memory:
        count, height, width = values.shape
        shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
        with memory.open(driver="GTiff", crs=UTM, transform=NORTH_UP, **shape, **profile) as dataset:
            dataset.write(values)
        return bytes(memory.getbuffer())


SMALL = tiff_bytes(np.zeros((1, 8, 8), np.float32))


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


def test_an_upload_becomes_a_scene(client: Client, folder: Path, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "näw scene.tif", np.ones((1, 30, 30), np.float32))
    assert Caller(client.base).upload(path) == "uploads/näw scene.tif"
    assert (folder / "uploads" / "näw scene.tif").read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="another name"):
        Caller(client.base).upload(path)
    shown = next(one for one in client.ask("/scenes").json()["scenes"] if one["name"].startswith("uploads/"))
    assert client.ask(f"/maps/{shown['map']}").json()["layers"]["scene"]["file"] == "näw scene.tif"


VRT = b"<VRTDataset rasterXSize='1' rasterYSize='1'><SRS>EPSG:4326</SRS></VRTDataset>"
UPLOADS: Sequence[tuple[str, bytes, int]] = [
    ("..%2fescape.tif", SMALL, 404),
    ("%2e%2e%2f%2e%2e%2fetc%2fcron.d%2fx.tif", SMALL, 404),
    ("a%00.tif", SMALL, 400),
    (".hidden.tif", SMALL, 400),
    ("..tif", SMALL, 400),
    ("con:aux.tif", SMALL, 400),
    ("a%5c..%5cb.tif", SMALL, 400),
    ("%0aname.tif", SMALL, 400),
    ("x" * 320 + ".tif", SMALL, 400),
    ("scene.vrt", VRT, 415),
    ("scene.png", b"\x89PNG\r\n\x1a\n", 415),
    ("scene.zip", b"PK\3\4", 415),
    ("scene", SMALL, 415),
    ("vrt.tif", VRT, 415),
    ("text.tif", b"hello", 415),
    ("empty.tif", b"", 415),
    ("head.tif", b"II*\0" + b"\xff" * 400, 415),
    ("torn.tif", tiff_bytes(np.random.default_rng(0).random((1, 90, 90)).astype(np.float32))[:-9000], 415),
    ("large.tif", b"II*\0" + bytes(500_000), 413),
    ("bomb.tif", tiff_bytes(np.zeros((1, 1000, 1000), np.uint8), compress="DEFLATE"), 413),
    ("bands.tif", tiff_bytes(np.zeros((1100, 2, 2), np.uint8), interleave="pixel"), 415),
]


@pytest.mark.parametrize(("name", "content", "status"), UPLOADS, ids=[name[:24] for name, _, _ in UPLOADS])
def test_hostile_uploads_leave_nothing(client: Client, folder: Path, name: str, content: bytes, status: int) -> None:
    before = sorted(folder.parent.rglob("*"))
    answer = client.ask(f"/uploads/{name}", "PUT", content)
    assert answer.status == status
    assert answer.json()["detail"].endswith((".", "cog.tif"))
    assert str(folder) not in answer.body.decode()
    assert sorted(folder.parent.rglob("*")) == before
    assert client.ask("/scenes").status == 200


def test_uploads_without_a_length_and_liars_are_cut_off(client: Client, folder: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield b"II*\0"
        for _ in range(64):
            yield bytes(2**16)

    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server may hang up while we go on sending
        assert client.ask("/uploads/endless.tif", "PUT", endless()).status == 413
    assert client.ask("/uploads/liar.tif", "PUT", b"", {"Content-Length": str(10**15)}).status == 413
    assert client.ask("/uploads/liar.tif", "PUT", io.BytesIO(b"abc"), {"Content-Length": "-5"}).status == 400
    assert not list((folder / "uploads").iterdir())


def test_the_quota_ends_uploads_and_jobs(client: Client, folder: Path) -> None:
    (folder / "uploads" / "full.bin").write_bytes(bytes(1_900_000))
    assert client.ask("/uploads/more.tif", "PUT", bytes(300_000)).status == 507
    (folder / "uploads" / "fuller.bin").write_bytes(bytes(200_000))
    assert execute(client, "town.tif").status == 507


SCENES = [
    "../secret.tif",
    "/etc/passwd",
    "deep/../../secret.tif",
    "outside/secret.tif",
    "link.tif",
    "all.vrt",
    "missing.tif",
    "",
    ".",
    "town.tif\0",
    "/vsicurl/http://127.0.0.1:1/x.tif",
    "/vsizip/town.zip/a.tif",
    "vsimem/a.tif",
    "GTIFF_DIR:1:town.tif",
    "http://127.0.0.1:1/a.tif",
    "<VRTDataset/>.tif",
    "~/town.tif",
    "deep",
    "jobs/x/scene.tif",
    "a/b/c/d/e/f.tif",
    "-o.tif",
]


@pytest.mark.parametrize("scene", SCENES)
def test_hostile_scenes_are_refused_everywhere(client: Client, folder: Path, scene: str) -> None:
    answers = [
        execute(client, scene),
        client.ask("/scenes/check", "POST", json.dumps({"scene": scene}), JSON),
        client.ask(f"/maps/{scene_map(scene)}"),
    ]
    for answer in answers:
        assert answer.status in {400, 404, 415}
        assert answer.json()["detail"].endswith(".")
        assert str(folder.parent) not in answer.body.decode()
        assert b"secret" not in answer.body.replace(b"secret.tif", b"")
    assert client.ask("/jobs").json()["jobs"] == []


def scene_map(scene: str) -> str:
    from overcast.server.library import scene_map_name

    return scene_map_name(scene)


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        ("/processes/predict/execution", "POST", b"{", 400),
        ("/processes/predict/execution", "POST", b"[" * 100_000, 400),
        ("/processes/predict/execution", "POST", b'{"inputs": {"scene": "town.tif", "device": "x; rm -rf"}}', 400),
        ("/processes/predict/execution", "POST", b'{"inputs": {"scene": "town.tif", "threshold": 1e999}}', 400),
        ("/processes/predict/execution", "POST", b'{"inputs": {"scene": "town.tif", "threshold": NaN}}', 400),
        ("/processes/predict/execution", "POST", b'{"inputs": {"scene": "town.tif", "model": "../../x"}}', 404),
        ("/processes/predict/execution", "POST", b'{"inputs": {"scene": "town.tif", "unit": "dB --output"}}', 400),
        ("/processes/predict/execution", "POST", b"x" * 2_000_000, 413),
        ("/processes/rm/execution", "POST", b"{}", 404),
        ("/jobs/..%2f..%2fsecret", "GET", None, 404),
        ("/jobs/%2e%2e", "DELETE", None, 404),
        ("/jobs/x/results/job.json", "GET", None, 400),
        ("/jobs/x/events", "GET", None, 404),
        ("/jobs", "POST", b"{}", 405),
        ("/maps/job-..%2f..", "GET", None, 404),
        ("/maps/scene-%ff%fe", "GET", None, 404),
        ("/maps/scene-!!!!", "GET", None, 404),
    ],
)
def test_hostile_requests_are_refused(client: Client, path: str, method: str, body: bytes | None, status: int) -> None:
    answer = client.ask(path, method, body, JSON if body else None)
    assert answer.status == status
    assert answer.json()["detail"].endswith(".")
    assert client.ask("/jobs").json()["jobs"] == []


def test_other_pages_cannot_begin_or_end_jobs(client: Client) -> None:
    body = json.dumps({"inputs": {"scene": "town.tif"}})
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert client.ask("/processes/predict/execution", "POST", body, {**JSON, **headers}).status == 403
        assert client.ask("/uploads/x.tif", "PUT", SMALL, headers).status == 403
        assert client.ask("/jobs/x", "DELETE", None, headers).status == 403
    same = {"Origin": client.base, "Sec-Fetch-Site": "same-origin"}
    assert client.ask("/processes/predict/execution", "POST", body, {**JSON, **same}).status == 201


def test_the_api_is_described(client: Client) -> None:
    described = client.ask("/openapi.json").json()
    assert {"/processes/predict/execution", "/jobs/{number}/events", "/uploads/{name}"} <= set(described["paths"])
    process = client.ask("/processes/predict").json()
    assert process["inputs"]["scene"]["minOccurs"] == 1
    assert set(process["outputs"]) == {"gpkg", "parquet", "geojson", "tif"}
    assert client.ask("/processes").json()["processes"][0]["id"] == "predict"
    assert client.ask("/conformance").json()["conformsTo"]


def test_models_are_those_of_the_folder(tmp_path: Path, folder: Path) -> None:
    from overcast.data.contract import INSTALLED

    shutil.copytree(INSTALLED, tmp_path / "models" / "mine")
    (tmp_path / "models" / "broken").mkdir()
    models = Models(tmp_path / "models")
    assert [one["name"] for one in models.listed()] == [INSTALLED.name, "mine"]
    assert models.path("mine") == tmp_path / "models" / "mine"
    assert models.path("") is None
    jobs = Jobs(open_root(folder, LIMITS), models)
    assert jobs.submit(Inputs(scene="town.tif", model="mine")).inputs.model == "mine"


def test_a_client_of_no_server_says_so() -> None:
    with pytest.raises(InputError, match="begins with http"):
        Caller("file:///etc")
    with pytest.raises(InputError, match="does not answer"):
        Caller("http://127.0.0.1:1").scenes()


def test_hidden_files_of_killed_uploads_are_no_scenes(client: Client, folder: Path) -> None:
    (folder / "uploads" / ".upload-1234.tif").write_bytes(SMALL)
    assert not [name for name in Caller(client.base).scenes() if "upload-" in name]
    assert os.listdir(folder / "uploads") == [".upload-1234.tif"]  # noqa: PTH208
