"""Many scenes: found, mapped by workers to the same bytes, reported, gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from test_predict import MODEL, OPTIONS, SENSOR, names, outputs_in, speckle, write_scene
from test_resume import KILLED, Child, Counted, in_child, kill
from torch import nn
from typer.testing import CliRunner, Result
from where import IMPORTABLE, SUPPORT

from overcast.choices import Outlines
from overcast.cli import app
from overcast.cli import fleet as fleet_command
from overcast.errors import ClusterError, InputError, OvercastError
from overcast.fleet import worker as worker_module
from overcast.fleet.backend import Backend, compute_on
from overcast.fleet.manifest import Manifest, Status
from overcast.fleet.rays import Workers, ray_backend
from overcast.fleet.run import FleetRequest, FleetSummary, map_scenes
from overcast.fleet.scenes import SceneSpec, find_scenes
from overcast.fleet.worker import BlockTask, BlockWorker, Outcome
from overcast.progress import Progress
from overcast.raster.addresses import located
from overcast.raster.grid import Turn
from overcast.raster.radiometry import RadarSide
from overcast.scenes.compute import Compute, compute_here
from overcast.scenes.model import SceneModel
from overcast.scenes.scene import SceneOptions

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["in_child"]  # a fixture

BANDS = ("HH", "HV")
DECLARED = {"bands": BANDS, "unit": "dB"}
GENTLE = replace(OPTIONS, style=True, stac=True, polygons=replace(OPTIONS.polygons, outlines=Outlines.GENTLE))


class Threads:
    """A backend whose workers are threads: blocks come back in any order, and some workers die on the way."""

    slots = 5

    def __init__(self, model: SceneModel, pool: ThreadPoolExecutor, deaths: int = 0) -> None:
        self._workers = [BlockWorker(model) for _ in range(2)]
        self._locks, self._pool, self._deaths = [threading.Lock() for _ in range(2)], pool, deaths
        self._chance = random.Random(0)
        self.tasks: list[BlockTask] = []

    def submit(self, task: BlockTask) -> Future[Outcome]:
        self.tasks.append(task)
        number, pause = len(self.tasks) % 2, self._chance.random() / 50
        if self._deaths and len(self.tasks) == 4:
            raise ClusterError("block 3 of f could not be computed by any worker.")
        return self._pool.submit(self._compute, number, pause, task)

    def _compute(self, number: int, pause: float, task: BlockTask) -> Outcome:
        time.sleep(pause)
        with self._locks[number]:
            return self._workers[number].compute(task)


@contextmanager
def threads(model: SceneModel, deaths: int = 0) -> Iterator[Threads]:
    with ThreadPoolExecutor(2) as pool:
        yield Threads(model, pool, deaths)


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three scenes; one has a gap."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number, height in enumerate((300, 150, 410)):
        values = speckle(height, 150, seed=number)
        values[:, 40:90, 20:] = np.nan
        write_scene(folder / f"s{number}.tif", values)
    return folder


def model_of(network: nn.Module | None = None) -> SceneModel:
    return replace(MODEL, network=Counted() if network is None else network)


def map_folder(
    folder: Path, out: Path, *, model: SceneModel | None = None, compute: Compute = compute_here, **changes: Any
) -> FleetSummary:
    out.mkdir(exist_ok=True)
    given = {"options": GENTLE, "footprints": ".gpkg", "probability": ".tif", **changes}
    run = {key: given.pop(key) for key in ("at_once", "report") if key in given}
    specs = find_scenes([str(folder)], BANDS)
    return map_scenes(FleetRequest(specs, out, model or model_of(), DECLARED, **given), compute, **run)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in outputs_in(folder) if name != "manifest.jsonl"}


def manifest(folder: Path) -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines() if line]
    return {line["scene"]: line for line in lines}


def test_workers_give_the_bytes_of_one_process(scenes: Path, tmp_path: Path):
    alone = map_folder(scenes, tmp_path / "alone")
    model = model_of()
    states: list[Progress] = []
    with threads(model) as backend:
        spread = map_folder(
            scenes, tmp_path / "spread", model=model, compute=compute_on(backend), at_once=2, report=states.append
        )
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 3 * 4
    assert sorted(spread.done) == list(alone.done) == ["s0", "s1", "s2"]
    assert spread.footprints == alone.footprints > 10
    assert len(backend.tasks) == sum(-(-(height - 16) // 48) for height in (300, 150, 410))
    assert states[-1].done == pytest.approx(states[-1].total) == pytest.approx(860 * 150 * 0.25e-6)
    assert {name: entry["status"] for name, entry in manifest(tmp_path / "spread").items()} == dict.fromkeys(
        ("s0", "s1", "s2"), "done"
    )
    assert not [name for name in names(tmp_path / "spread") if name.startswith(".")]


def test_turned_scenes_are_turned_by_workers_too(scenes: Path, tmp_path: Path):
    north = SENSOR.model_copy(update={"radar_side": RadarSide.NORTH})
    model = replace(model_of(), sensor=north)
    seen = {**DECLARED, "radar_side": "south"}
    specs = find_scenes([str(scenes / "s1.tif")], BANDS)
    for name in ("alone", "spread"):
        (tmp_path / name).mkdir()
    map_scenes(FleetRequest(specs, tmp_path / "alone", model, seen, GENTLE))
    with threads(model) as backend:
        map_scenes(FleetRequest(specs, tmp_path / "spread", model, seen, GENTLE), compute_on(backend))
    assert backend.tasks[0].turn
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")


def test_bad_scenes_are_told_and_stop_no_other(scenes: Path, tmp_path: Path):
    out = tmp_path / "out"
    os.truncate(scenes / "s1.tif", 3000)
    (scenes / "s3.tif").write_text("no image")
    notes: list[str] = []
    summary = map_folder(scenes, out, report=lambda state: notes.append(state.note))
    assert summary.done == ("s0", "s2")
    assert set(summary.failed) == {"s1", "s3"}
    assert all("cannot be read as an image" in reason for reason in summary.failed.values())
    assert manifest(out)["s3"]["status"] == "failed"
    assert any(note.startswith("s1 failed: ") for note in notes)
    write_scene(scenes / "s1.tif", speckle(seed=9))
    write_scene(scenes / "s3.tif", speckle(seed=8))
    before = contents(out)
    network = Counted()
    again = map_folder(scenes, out, model=model_of(network))
    assert again.done == ("s1", "s3")
    assert again.skipped == ("s0", "s2")
    assert network.calls > 0
    assert before.items() <= contents(out).items()
    assert not map_folder(scenes, out, model=model_of(network)).done


def test_changed_scene_or_output_is_mapped_again(scenes: Path, tmp_path: Path):
    out = tmp_path / "out"
    map_folder(scenes, out)
    (out / "s0.gpkg").unlink()
    write_scene(scenes / "s1.tif", speckle(seed=9))
    refused = map_folder(scenes, out)
    assert set(refused.failed) == {"s0", "s1"}
    assert all("overwrit" in reason for reason in refused.failed.values())
    again = map_folder(scenes, out, options=replace(GENTLE, overwrite=True))
    assert again.done == ("s0", "s1")
    assert again.skipped == ("s2",)


def test_a_bug_is_raised_after_the_other_scenes(scenes: Path, tmp_path: Path):
    class Odd(Counted):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-2] == 64 and self.calls == 8:
                self.calls += 1
                raise ZeroDivisionError("a bug")
            return super().forward(x)

    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        map_folder(scenes, tmp_path / "out", model=model_of(Odd()))
    assert caught.value.__notes__
    assert sorted(str(entry["status"]) for entry in manifest(tmp_path / "out").values()) == ["done", "done", "failed"]


@pytest.mark.parametrize("fault", ["lost for good", "damaged on the way", "other version", "network"])
def test_what_a_worker_cannot_do_fails_its_scene_alone(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
):
    network: nn.Module = Counted()
    match fault:
        case "damaged on the way":
            monkeypatch.setattr(
                Path, "read_bytes", lambda self: b"x" if self.name == "row-000002.block" else _read(self)
            )
        case "other version":
            monkeypatch.setattr(worker_module, "__version__", "0.0")
        case "network":

            class Nan(Counted):
                def forward(self, x: torch.Tensor) -> torch.Tensor:
                    return torch.full_like(x[:, :1], torch.nan)

            network = Nan()
    model = model_of(network)
    with threads(model, deaths=fault == "lost for good") as backend:
        summary = map_folder(scenes, tmp_path / "out", model=model, compute=compute_on(backend))
    said = {"lost for good": "any worker", "damaged on the way": "arrived damaged", "other version": "has Overcast 0.0"}
    assert all(said.get(fault, "not numbers") in reason for reason in summary.failed.values())
    assert set(summary.failed) >= {"s0"}
    assert not [name for name in outputs_in(tmp_path / "out") if name.startswith("s0")]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read()


def map_killed(folder: Path, out: Path, call: int) -> None:
    torch.set_num_threads(1)
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    map_folder(folder, out, model=model_of(Counted(lambda now: kill() if now == call else None)))


def test_killed_command_goes_on_where_it_stopped(scenes: Path, tmp_path: Path, in_child: Child):
    network = Counted()
    map_folder(scenes, tmp_path / "alone", model=model_of(network))
    out = tmp_path / "out"
    assert in_child(map_killed, scenes, out, network.calls - 12) == KILLED
    rest = Counted()
    summary = map_folder(scenes, out, model=model_of(rest))
    assert "s0" in summary.skipped
    assert 0 < rest.calls <= 16
    assert contents(out) == contents(tmp_path / "alone")


def test_damaged_manifest_skips_nothing_and_names_no_file(tmp_path: Path):
    """Only the run's own targets are looked at."""
    target = tmp_path / "s.tif"
    target.write_text("map")
    good = {"scene": "s", "status": "done", "request": "r", "outputs": {"s.tif": 3}}
    wrong = [{"s.tif": 4}, {}, {"/etc/passwd": 3}, {"s.tif": 3, "../x": 1}, ["s.tif"], "s.tif", None, 5, {"s.tif": "3"}]
    for outputs, done in [({"s.tif": 3}, True), *((one, False) for one in wrong)]:
        (tmp_path / "manifest.jsonl").write_text(json.dumps({**good, "outputs": outputs}) + "\n")
        assert Manifest(tmp_path).is_done("s", "r", [target]) is done
    rubbish = ["[" * 50_000, "5", "null", "[]", '{"scene": []}', '{"scene": "s"}', '{"scene": "s", "status": {}}', "\0"]
    (tmp_path / "manifest.jsonl").write_bytes("\n".join(rubbish).encode() + b"\n\xff\xfe")
    found = Manifest(tmp_path)
    assert not found.is_done("s", "r", [target])
    assert not found.is_begun("s", "r")


def map_killed_before_the_manifest(folder: Path, out: Path) -> None:
    record = Manifest.record

    def dying(self: Manifest, scene: str, files: Sequence[Path], status: Status, facts: Mapping[str, object]) -> None:
        if (scene, status) == ("s1", Status.DONE):
            kill()
        record(self, scene, files, status, facts)

    Manifest.record = dying  # type: ignore[method-assign]
    map_killed(folder, out, call=0)


def test_outputs_that_the_manifest_does_not_know_yet_are_made_again(scenes: Path, tmp_path: Path, in_child: Child):
    """Killed between the last rename of a scene and its line in the manifest, twice."""
    map_folder(scenes, tmp_path / "alone")
    out = tmp_path / "out"
    for _ in range(2):
        assert in_child(map_killed_before_the_manifest, scenes, out) == KILLED
        assert (out / "s1.stac.json").is_file()
        assert manifest(out)["s1"]["status"] == "begun"
    summary = map_folder(scenes, out)
    assert (summary.skipped, summary.done, dict(summary.failed)) == (("s0",), ("s1", "s2"), {})
    assert contents(out) == contents(tmp_path / "alone")
    assert manifest(out)["s1"]["footprints"] == manifest(tmp_path / "alone")["s1"]["footprints"]


def test_outputs_of_others_are_not_overwritten_after_a_kill(scenes: Path, tmp_path: Path, in_child: Child):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("s0.tif", "s0.gpkg", "s0.qml", "s0.stac.json"):
        (out / name).write_text("another's")
    assert in_child(map_killed, scenes, out, 3) == KILLED
    assert set(map_folder(scenes, out).failed) == {"s0"}
    assert (out / "s0.gpkg").read_text() == "another's"


def test_stop_reaches_scenes_under_way(scenes: Path, tmp_path: Path):
    model = model_of()

    def stop(state: Progress) -> None:
        if state.done > 0:
            raise KeyboardInterrupt

    with threads(model) as backend, pytest.raises(KeyboardInterrupt):
        map_folder(scenes, tmp_path / "out", model=model, compute=compute_on(backend), at_once=2, report=stop)
    assert contents(tmp_path / "out") == {}


# -- which scenes ------------------------------------------------------------------------------------------------------


def item(name: str, **assets: str) -> dict[str, object]:
    images = {key: {"href": href, "type": "image/tiff; application=geotiff"} for key, href in assets.items()}
    thumbnail = {"href": "small.tif", "type": "image/tiff", "roles": ["thumbnail"]}
    properties = {"datetime": "2024-05-06T07:08:09Z"}
    return {"type": "Feature", "id": name, "properties": properties, "assets": {**images, "preview": thumbnail}}


def files_of(specs: list[SceneSpec], root: Path) -> list[tuple[str, ...]]:
    return [(spec.name, *(os.path.relpath(file, root) for file in spec.files)) for spec in specs]


def test_scenes_are_found_in_folders_lists_and_records(scenes: Path):
    (scenes / ".hidden.tif").touch()
    (scenes / "list.txt").write_text("# two files of one scene\ns0.tif\ts1.tif\n\ns2.tif\n")
    records = {
        "item.json": item("an/item", data="s1.tif"),
        "both.json": {"type": "FeatureCollection", "features": [item("b", HV="s1.tif", hh="s0.tif", x="s2.tif")]},
        "collection.json": {"type": "Collection", "links": [{"rel": "item", "href": "item.json"}, {"rel": "self"}]},
    }
    for name, record in records.items():
        (scenes / name).write_text(json.dumps(record))

    def found(*arguments: str) -> list[tuple[str, ...]]:
        return files_of(find_scenes([str(scenes / one) for one in arguments], BANDS), scenes)

    assert found("") == [("s0", "s0.tif"), ("s1", "s1.tif"), ("s2", "s2.tif")]
    assert found("list.txt") == [("s0", "s0.tif", "s1.tif"), ("s2", "s2.tif")]
    assert found("item.json") == found("collection.json") == [("an_item", "s1.tif")]
    assert found("both.json") == [("b", "s0.tif", "s1.tif")]
    assert found("s2.tif", "list.txt", "s2.tif") == [("s2", "s2.tif"), ("s0", "s0.tif", "s1.tif")]
    acquired = find_scenes([str(scenes / "item.json")], BANDS)[0].acquired
    assert acquired is not None
    assert acquired.isoformat() == "2024-05-06T07:08:09+00:00"


def test_scenes_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_scene(tmp_path / folder / "sar.tif", speckle())
    specs = find_scenes([str(tmp_path / "a" / "sar.tif"), str(tmp_path / "b")], BANDS)
    assert [spec.name for spec in specs] == ["a_sar", "b_sar"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.tif", None, "does not exist"),
        ("empty.txt", "# nothing\n", "lists no scene"),
        ("bad.json", "{", "is not readable JSON"),
        ("list.json", "[]", "not a JSON object"),
        ("other.json", '{"type": "Point"}', "not a STAC item"),
        ("many.json", json.dumps(item("m", a="s0.tif", b="s1.tif")), r"2 GeoTIFF assets \(a, b\)"),
        ("none.json", json.dumps({"type": "FeatureCollection", "features": []}), "holds no item"),
        ("noid.json", json.dumps({"type": "Feature"}), "not a STAC item: it has no assets"),
    ],
)
def test_what_names_no_scene_is_one_sentence(tmp_path: Path, name: str, content: str | None, said: str):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        find_scenes([str(tmp_path / name)], BANDS)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server of the scenes; a process of its own, since GDAL opens files while it holds Python's lock."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    command = [sys.executable, str(SUPPORT / "range_server.py"), str(scenes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


def test_scenes_are_read_from_the_web_and_from_object_stores(
    scenes: Path, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in (
        ("AWS_S3_ENDPOINT", server),
        ("AWS_HTTPS", "NO"),
        ("AWS_VIRTUAL_HOSTING", "FALSE"),
        ("AWS_NO_SIGN_REQUEST", "YES"),
    ):
        monkeypatch.setenv(name, value)
    (scenes / "items.json").write_text(json.dumps(item("s2", data="s2.tif")))
    arguments = [f"http://{server}/s0.tif", "s3://bucket/s1.tif", f"http://{server}/items.json"]
    arguments += [f"http://{server}/nowhere.tif", "s3://bucket/nothing.tif"]
    map_folder(scenes, tmp_path / "alone", footprints=None)
    out = tmp_path / "out"
    out.mkdir()
    options = replace(GENTLE, stac=False)
    request = FleetRequest(find_scenes(arguments, BANDS), out, model_of(), DECLARED, options, None, ".tif")
    summary = map_scenes(request)
    assert summary.done == ("s0", "s1", "s2")
    for name in ("s0.tif", "s1.tif"):
        assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert set(summary.failed) == {"nowhere", "nothing"}
    assert summary.failed["nowhere"].startswith(f"http://{server}/nowhere.tif cannot be read as an image (")
    assert summary.failed["nothing"].startswith("s3://bucket/nothing.tif cannot be read as an image (")
    assert all(text.endswith("the connection.") and "\n" not in text for text in summary.failed.values())
    assert map_scenes(request).skipped == ("s0", "s1", "s2")
    assert manifest(out)["s1"]["files"] == ["s3://bucket/s1.tif"]


def test_passwords_and_signatures_of_addresses_stand_nowhere(
    scenes: Path, tmp_path: Path, server: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    secret = f"http://user:PASSW0RD@{server}/{{}}?X-Amz-Signature=S3CRETSIG&token=T0KEN"
    (scenes / "items.json").write_text(json.dumps(item("s2", data=secret.format("s2.tif"))))
    arguments = [secret.format(name) for name in ("s0.tif", "items.json", "nowhere.tif")]
    out, told = tmp_path / "out", list[str]()
    out.mkdir()
    request = FleetRequest(find_scenes(arguments, BANDS), out, model_of(), DECLARED, GENTLE, ".gpkg", ".tif")
    summary = map_scenes(request, report=lambda state: told.append(state.note))
    assert summary.done == ("s0", "s2")
    assert summary.failed["nowhere"].startswith(f"http://{server}/nowhere.tif cannot be read")
    given = CliRunner().invoke(app, ["predict", secret.format("nowhere.tif"), "-o", str(tmp_path / "o.gpkg")])
    assert isinstance(given.exception, InputError)
    with pytest.raises(InputError) as refusal:
        find_scenes([secret.format("nowhere.json")], BANDS)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and scenes not in path.parents]
    assert {"manifest.jsonl", "s0.stac.json", "s0.gpkg", "s0.tif"} <= {path.name for path in written}
    places = {str(path): path.read_bytes() for path in written}
    shown = [
        *told,
        *summary.failed.values(),
        given.output,
        str(given.exception),
        str(refusal.value),
        caplog.text,
        *capfd.readouterr(),
    ]
    places |= {f"shown {number}": text.encode() for number, text in enumerate(shown)}
    for word in (b"PASSW0RD", b"S3CRETSIG", b"T0KEN"):
        assert [place for place, content in places.items() if word in content] == []
    assert f"http://{server}/s0.tif".encode() in (out / "s0.stac.json").read_bytes()


# -- Ray ---------------------------------------------------------------------------------------------------------------


class Logged(Counted):
    """Writes down a digest of every tile that it is given, whichever process it is in."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        line = hashlib.sha256(x.numpy().tobytes()).hexdigest() + "\n"
        with self.log.open("ab", buffering=0) as file:  # one write at the end of the file: lines stay whole
            file.write(line.encode())
        return super().forward(x)


class DiesOnce(Logged):
    """Kills its process at the third call, unless a file says that this has happened."""

    def __init__(self, log: Path, flag: Path) -> None:
        super().__init__(log)
        self.flag = flag

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = super().forward(x)
        if self.calls == 3 and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return found


class Watched:
    """A backend that keeps what it was asked for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.tasks: list[BlockTask] = []

    @property
    def slots(self) -> int:
        return self._backend.slots

    def submit(self, task: BlockTask) -> Future[Outcome]:
        self.tasks.append(task)
        return self._backend.submit(task)


def tiles_of(task: BlockTask, log: Path) -> list[str]:
    """Digests of the tiles of a block."""
    log.write_bytes(b"")
    BlockWorker(model_of(Logged(log))).compute(task)
    return log.read_text().splitlines()


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers find these tests, and the package that they test."""
    pytest.importorskip("ray")
    places = (*IMPORTABLE, Path(worker_module.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))


@pytest.mark.usefixtures("importable")
@pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets that Ray leaves to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ray_with_a_worker_that_dies_gives_the_bytes_of_one_process_and_loses_one_block(scenes: Path, tmp_path: Path):
    options = replace(GENTLE, scene=replace(GENTLE.scene, threads=1))
    map_folder(scenes, tmp_path / "alone", options=options)
    flag, log = tmp_path / "died", tmp_path / "log"
    model = model_of(DiesOnce(log, flag))
    with ray_backend(model, Workers(count=2, address=None, threads=1, gpus=0)) as backend:
        assert backend.slots == 4
        watched = Watched(backend)
        summary = map_folder(
            scenes, tmp_path / "out", model=model, compute=compute_on(watched), at_once=2, options=options
        )
    assert flag.exists()
    assert sorted(summary.done) == ["s0", "s1", "s2"]
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    computed = Counter(log.read_text().splitlines())
    again = {tile for tile, times in computed.items() if times > 1}
    blocks = [set(tiles_of(task, tmp_path / "block")) for task in watched.tasks]
    assert len(set.union(*blocks)) == sum(map(len, blocks)) == len(computed)  # each block was asked for once
    assert again
    assert max(computed.values()) == 2
    assert sum(bool(block & again) for block in blocks) == 1


def four_bands(seed: int = 0) -> np.ndarray:
    """(4, H, W) dB, no two bands alike."""
    return np.concatenate([speckle(100, 96, seed=seed) - 40, speckle(100, 96, seed=seed) - 39])


@pytest.mark.usefixtures("importable")
@pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_command_computes_on_a_cluster_that_runs(scenes: Path, tmp_path: Path):
    from ray.cluster_utils import Cluster

    grid = {"transform": Affine(1, 0, 593000, 0, -1, 5750000)}
    values = four_bands()
    scene = write_scene(scenes / "town.tif", values, **grid)
    given = [
        scene,
        "--write",
        "parquet,tif",
        "--bands",
        "HH,HV,VH,VV",
        "--unit",
        "dB",
        "--set",
        "style=false",
        "--json",
    ]
    given += ["--set", "runtime=eager", "--set", "threads=1"]
    overcast(*given, "-o", tmp_path / "alone")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        result = overcast(*given, "-o", tmp_path / "maps", "--address", cluster.address)
    finally:
        cluster.shutdown()
    assert result.exception is None, result.output
    assert json.loads(result.stdout)["done"] == ["town"]
    assert sorted(contents(tmp_path / "maps")) == ["town.parquet", "town.stac.json", "town.tif"]
    assert contents(tmp_path / "maps") == contents(tmp_path / "alone")


# -- the command -------------------------------------------------------------------------------------------------------


def overcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["map", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "maps", "--write", "shp"], "--write 'shp'"),
        (["-o", "maps", "--write", "gpkg,parquet"], "--write 'gpkg,parquet'"),
        (["-o", "none/maps"], "none is not a folder"),
        (["-o", "maps", "--address", "nowhere:1"], "no Ray cluster at nowhere:1"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    scenes: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    monkeypatch.chdir(scenes)
    if "--address" in arguments:
        pytest.importorskip("ray")
        monkeypatch.setattr("ray.init", lambda **_: (_ for _ in ()).throw(ConnectionError("refused")))
    result = overcast("s0.tif", *arguments)
    assert isinstance(result.exception, OvercastError)
    assert said in str(result.exception)


def test_ray_that_does_not_start_in_time_is_one_sentence(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("ray")

    def late(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")  # noqa: TRY002 (as Ray does)

    monkeypatch.setattr("ray.init", late)
    result = overcast(scenes / "s0.tif", "-o", tmp_path / "maps", "--workers", "2")
    assert isinstance(result.exception, ClusterError)
    assert "The current node timed out during startup); run the same command again" in str(result.exception)


def test_command_maps_a_list_and_says_what_failed(scenes: Path, tmp_path: Path):
    for number in (0, 2):
        grid = {"transform": Affine(1, 0, 593000, 0, -1, 5750000)}
        write_scene(scenes / f"s{number}.tif", four_bands(number), **grid)
    (scenes / "list.txt").write_text("s0.tif\ns1.tif\ns2.tif\n")
    given = [scenes / "list.txt", "-o", tmp_path / "maps", "--write", "parquet,tif", "--json"]
    given += ["--bands", "HH,HV,VH,VV", "--unit", "dB", "--set", "stac=false", "--set", "style=false"]
    result = overcast(*given)
    assert isinstance(result.exception, InputError)
    assert re.match(r"1 of 3 scenes failed: s1 \(.*manifest\.jsonl; mend them", str(result.exception))
    assert json.loads(result.stdout)["done"] == ["s0", "s2"]
    assert outputs_in(tmp_path / "maps") == ["manifest.jsonl", "s0.parquet", "s0.tif", "s2.parquet", "s2.tif"]
    again = overcast(*given)
    assert json.loads(again.stdout)["skipped"] == ["s0", "s2"]
    assert "s1 failed: " in again.stderr


def test_worker_keeps_errors_of_the_user_as_values(scenes: Path):
    scene = find_scenes([str(scenes / "s0.tif")], BANDS)[0]
    task = BlockTask(scene.files, SENSOR, Turn(), OPTIONS.scene, OPTIONS.encoding, 1, 1, "p.tif")
    worker = BlockWorker(model_of())
    assert not isinstance(worker.compute(task), OvercastError)
    gone = replace(task, scene=(located(str(scenes / "gone.tif")),))
    assert isinstance(worker.compute(gone), InputError)


@pytest.mark.parametrize(
    ("devices", "device", "asked", "installed", "count"),
    [
        (4, "cuda", None, True, 4),
        (1, "cuda", None, True, None),
        (4, "cuda:1", None, True, None),  # one device was named
        (4, "cpu", None, True, None),
        (4, "cuda", None, False, None),  # nobody asked for Ray
        (4, "cuda", 2, True, 2),
        (0, "cpu", 3, True, 3),
        (0, "cpu", 1, True, None),
    ],
)
def test_more_than_one_device_is_a_cluster_by_itself(
    monkeypatch: pytest.MonkeyPatch, devices: int, device: str, asked: int | None, installed: bool, count: int | None
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(fleet_command, "find_spec", lambda _: object() if installed else None)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    many = fleet_command.ManyOptions([], Path("maps"), "gpkg", asked, None)
    found = fleet_command._workers(many, replace(OPTIONS, scene=SceneOptions(device=device)))
    gpus = 1 if device.startswith("cuda") else 0
    assert found == (None if count is None else Workers(count, None, 8 // count, gpus))
