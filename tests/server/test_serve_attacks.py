"""What hostile requests and uploads come to at the server of jobs: a sentence, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from raster_files import NORTH_UP, UTM
from serve_cases import JSON, LIMITS, execute, make_root
from viewer_cases import Client, running

from overcast.server.app import create_server
from overcast.server.client import Client as Caller
from overcast.server.root import open_root
from overcast.viewer.safety import Access


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        yield make_root(tmp_path_factory.mktemp("attacked"), patch)


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    with running(create_server(open_root(folder, LIMITS), Access())) as asked:
        yield asked


def tiff_bytes(values: Any, **profile: Any) -> bytes:
    with rasterio.MemoryFile() as memory:
        count, height, width = values.shape
        shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
        with memory.open(driver="GTiff", crs=UTM, transform=NORTH_UP, **shape, **profile) as dataset:
            dataset.write(values)
        return bytes(memory.getbuffer())


SMALL = tiff_bytes(np.zeros((1, 8, 8), np.float32))
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
    for name in ("full.bin", "fuller.bin"):
        (folder / "uploads" / name).unlink()


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
    begun = client.ask("/processes/predict/execution", "POST", body, {**JSON, **same})
    assert begun.status == 201
    assert client.ask(begun.headers["location"], "DELETE", None, same).status == 200


def test_hidden_files_of_killed_uploads_are_no_scenes(client: Client, folder: Path) -> None:
    (folder / "uploads" / ".upload-1234.tif").write_bytes(SMALL)
    assert not [name for name in Caller(client.base).scenes() if "upload-" in name]
    assert os.listdir(folder / "uploads") == [".upload-1234.tif"]  # noqa: PTH208
