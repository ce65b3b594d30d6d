"""A killed or failing run goes on where it stopped, to the same bytes; nothing damaged is left or used."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from test_predict import MODEL, NORTH_UP, OPTIONS, SENSOR, leftovers, names, outputs_in, speckle, write_scene
from test_scene import SENSOR as SCENE_SENSOR
from test_scene import STATISTICS, Sink, kernel
from test_scene import speckle as scene_of
from torch import nn
from where import IMPORTABLE

from overcast.choices import Encoding, Outlines
from overcast.errors import InputError
from overcast.outputs.encoding import decode, encode
from overcast.outputs.staging import staged
from overcast.progress import Progress, ProgressStage
from overcast.raster.sources import ArraySource
from overcast.scenes import blockfile
from overcast.scenes import plan as plan_module
from overcast.scenes.blend import RowJoiner
from overcast.scenes.blockfile import Block, BlockWriter, read_block
from overcast.scenes.predict import PredictionSummary, predict_file
from overcast.scenes.scene import RowPredictor, SceneOptions, plan_scene, predict_scene
from overcast.scenes.work import earlier_run, open_work, store_block

pytestmark = pytest.mark.usefixtures("one_thread")

Child = Callable[..., int | None]
WORK = ".probability.tif.partial"
LARGE_TILES = replace(
    OPTIONS,
    scene=SceneOptions(tile=512, overlap=16, margin=4),
    polygons=replace(OPTIONS.polygons, strip_pixels=100_000),
)
GENTLE = replace(OPTIONS, style=True, stac=True, polygons=replace(OPTIONS.polygons, outlines=Outlines.GENTLE))


class Counted(nn.Module):
    """Answers from the surroundings of a pixel, counts its calls and does something at each."""

    def __init__(self, at_call: Callable[[int], None] = lambda _call: None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.calls, self.at_call = nn.Conv2d(2, 1, 5, padding=2), 0, at_call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.at_call(self.calls)
        return 3 * self.conv(x) + 3 * x.mean(1, keepdim=True)


def run(folder: Path, network: nn.Module | None = None, **changes: Any) -> PredictionSummary:
    given = {"options": GENTLE, "footprints": folder / "f.gpkg", **changes}
    model = replace(MODEL, network=Counted() if network is None else network)
    return predict_file([folder / "scene.tif"], model, sensor=SENSOR, probability=folder / "probability.tif", **given)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scene of 12 rows of tiles, some of them without data."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    values = speckle(560, 150)
    values[:, 100:260] = np.nan
    write_scene(tmp_path / "scene.tif", values)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in outputs_in(folder) if name != "scene.tif"}


def undisturbed(folder: Path, **changes: Any) -> tuple[dict[str, bytes], int]:
    """Outputs of a run from start to end, taken away again, and calls of the network."""
    network = Counted()
    run(folder, network, **changes)
    made = contents(folder)
    for name in made:
        (folder / name).unlink()
    assert names(folder) == ["scene.tif"]
    return made, network.calls


@pytest.fixture(scope="module")
def in_child() -> Iterator[Child]:
    """Runs a function in a process forked from one that has only imported this module; its exit code is returned."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, IMPORTABLE)), prepend=os.pathsep)

        def start(function: Callable[..., object], *arguments: object, **keywords: Any) -> int | None:
            process = context.Process(target=in_environment, args=(dict(os.environ), function, arguments, keywords))
            process.start()
            process.join()
            return process.exitcode

        yield start


def in_environment(
    environment: dict[str, str], function: Callable[..., object], arguments: Sequence[object], keywords: dict[str, Any]
) -> None:
    """Call a function in the environment of the test: the fork server may have begun before that was set."""
    os.environ.update(environment)
    function(*arguments, **keywords)


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


KILLED = -signal.SIGKILL


def run_killed(
    folder: Path, *, call: int = 0, stage: ProgressStage | None = None, threads: int = 1, **changes: Any
) -> None:
    """Run until a call of the network or the first report of a stage."""
    torch.set_num_threads(threads)
    network = Counted(lambda now: kill() if now == call else None)
    run(folder, network, progress=lambda state: kill() if state.stage is stage else None, **changes)


def write_sparse_scene(path: Path, side: int) -> Path:
    """A scene whose data are two small squares, in a file without blocks for the rest."""
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "sparse_ok": True, "nodata": 0}
    place = {"crs": "EPSG:32631", "transform": NORTH_UP, "dtype": "float32", "count": 2}
    with rasterio.open(path, "w", driver="GTiff", height=side, width=side, **place, **layout) as dataset:
        for start in (0, side - 150):
            dataset.write(speckle(150, 150), window=Window(start, start, 150, 150))
    return path


def grown_memory(folder: Path) -> None:
    """Write down by how many MB the peak of this process rises with a scene of nine times the area.

    The small one is mapped twice, since the first run loads libraries and leaves gaps in the heap. The peak comes while
    footprints are drawn beside the copying, whose threads take tens of MB, depending on how far they run ahead: strips
    are narrow here, so that drawing does not vary too.
    """
    plan_module.CACHE_BYTES = 4 * 2**20  # type: ignore[attr-defined]
    peaks = []
    for number, side in enumerate((3072, 3072, 9216)):
        place = folder / str(number)
        place.mkdir()
        write_sparse_scene(place / "scene.tif", side)
        run(place, nn.Conv2d(2, 1, 3, padding=1), options=LARGE_TILES)
        peaks.append(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1000)
    (folder / "grown").write_text(str(peaks[-1] - peaks[-2]))


def run_killed_renaming(folder: Path) -> None:
    """Run until the second output gets its name."""
    link = os.link
    linked: list[Path] = []

    def dying(grown: Path, target: Path, **given: Any) -> None:
        if linked:
            kill()
        linked.append(target)
        link(grown, target, **given)

    os.link = dying  # type: ignore[assignment]
    run(folder)


def run_killed_tidying(folder: Path) -> None:
    """Run until all outputs are renamed and the blocks are to be removed."""
    rmtree = shutil.rmtree

    def dying(name: str, **given: Any) -> None:
        if name == "blocks" and (folder / "f.stac.json").exists():
            kill()
        rmtree(name, **given)

    shutil.rmtree = dying  # type: ignore[assignment]
    run(folder)


def test_killed_again_and_again_ends_in_the_same_bytes(scene: Path, in_child: Child):
    made, calls = undisturbed(scene)
    assert set(made) == {"probability.tif", "f.gpkg", "f.qml", "f.stac.json"}
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert in_child(run_killed, scene, call=int(rng.integers(2, 12))) == KILLED
        assert outputs_in(scene) == ["scene.tif"]
    blocks = [json.loads(line) for line in (scene / WORK / "blocks" / "journal.jsonl").read_text().splitlines()]
    assert blocks
    for stage in (ProgressStage.JOIN, ProgressStage.POLYGONS, ProgressStage.WRITE):
        assert in_child(run_killed, scene, stage=stage) == KILLED
        assert outputs_in(scene) == ["scene.tif"]
    last = Counted()
    states: list[Progress] = []
    run(scene, last, progress=states.append)
    assert last.calls == 0 < sum(block["tiles"] for block in blocks) < calls
    assert contents(scene) == made
    assert not [name for name in names(scene) if name.startswith(".")]
    assert states[0].note == "computing in fp32 on cpu"
    assert states[1].done == states[1].total == states[1].resumed
    assert "going on with" in states[1].note


def test_finished_rows_are_not_computed_again(scene: Path, in_child: Child):
    _, calls = undisturbed(scene)
    assert in_child(run_killed, scene, call=calls - 3) == KILLED
    journal = (scene / WORK / "blocks" / "journal.jsonl").read_text().splitlines()
    done = sum(json.loads(line)["tiles"] for line in journal)
    network, states = Counted(), list[Progress]()
    run(scene, network, progress=states.append)
    assert network.calls == calls - done < calls
    _, first, *others = [state for state in states if state.stage is ProgressStage.PREDICT]
    assert 0 < first.done == first.resumed < first.total
    assert first.rate == 0
    assert all(state.rate == pytest.approx((state.done - first.done) / state.elapsed_s) for state in others)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "torn journal"])
def test_damaged_blocks_are_computed_again(scene: Path, in_child: Child, damage: str):
    made, calls = undisturbed(scene)
    in_child(run_killed, scene, stage=ProgressStage.JOIN)
    folder = scene / WORK / "blocks"
    block = sorted(folder.glob("*.block"))[1]
    journal = folder / "journal.jsonl"
    match damage:
        case "cut":
            os.truncate(block, block.stat().st_size // 2)
        case "flipped":
            content = bytearray(block.read_bytes())
            content[len(content) // 2] ^= 1
            block.write_bytes(content)
        case "gone":
            block.unlink()
        case "torn journal":
            os.truncate(journal, journal.stat().st_size - 9)
    network = Counted()
    run(scene, network)
    assert 0 < network.calls <= calls // 3
    assert contents(scene) == made


@pytest.mark.parametrize("other", ["model", "tile", "scene", "temperature"])
def test_work_for_another_request_is_not_used(scene: Path, in_child: Child, other: str):
    in_child(run_killed, scene, stage=ProgressStage.JOIN)
    model, options = MODEL, GENTLE
    match other:
        case "model":
            model = replace(MODEL, sha256="f" * 16)
        case "temperature":
            model = replace(MODEL, calibration_temperature=2.0)
        case "tile":
            options = replace(GENTLE, scene=SceneOptions(tile=96, overlap=16, margin=4))
        case "scene":
            write_scene(scene / "scene.tif", speckle(560, 150, seed=5))
    network, states = Counted(), list[Progress]()
    summary = predict_file(
        [scene / "scene.tif"],
        replace(model, network=network),
        sensor=SENSOR,
        probability=scene / "probability.tif",
        options=options,
        progress=states.append,
    )
    assert network.calls == summary.scene.tiles > 0
    (told,) = (state.note for state in states if state.note.endswith("starting anew"))
    assert {"tile": "options", "temperature": "model"}.get(other, other) in told
    assert names(scene) == ["probability.stac.json", "probability.tif", "scene.tif"]


def damaged_lines(line: dict[str, Any], folder: Path) -> list[object]:
    """What a journal may hold instead of a line."""
    outside = folder.parent / "row-000001.block"
    changes: list[dict[str, Any]] = [
        {"tile_row": [1]},
        {"tile_row": -1},
        {"tile_row": True},
        {"tile_row": "1"},
        {"size": None},
        {"tiles": "9"},
    ]
    changes += [{"computed": 1.5}, {"name": 5}, {"name": str(outside)}, {"name": "../row-000001.block"}, {"more": 1}]
    return [*({**line, **change} for change in changes), [1], None, 5, "text", {}]


def test_damaged_journal_and_request_are_never_believed(tmp_path: Path):
    """A line that names a file elsewhere, holds values of other kinds or cannot be read at all is skipped."""
    folder, request = tmp_path / ".p.tif.partial" / "blocks", {"threads": 1, "scene": "a"}
    folder.parent.mkdir()
    content = b"precious"
    sha256 = hashlib.sha256(content).hexdigest()
    good = Block(1, blockfile.block_name(1), len(content), sha256, 3, 4)
    for place in (folder.parent, tmp_path):
        (place / blockfile.block_name(1)).write_bytes(content)
    work = open_work(folder, request)
    (folder / blockfile.block_name(1)).write_bytes(content)
    work.record(good)
    assert open_work(folder, request).blocks == {1: good}
    journal = folder / "journal.jsonl"
    lines = [json.dumps(line) for line in damaged_lines(good.to_dict(), folder)]
    journal.write_bytes("\n".join([*lines, "[" * 50_000, "\0", ""]).encode() + b"\xff\xfe\n")
    assert open_work(folder, request).blocks == {}
    for text in ("[" * 50_000, "\0", "[]", '{"threads": -4}', '{"threads": 1e400}', "9" * 5000):
        (folder / "request.json").write_text(text)
        assert earlier_run(folder).threads is None
        assert open_work(folder, request).blocks == {}
    (folder / "row-000002.block").mkdir()
    assert open_work(folder, request).blocks == {}
    assert names(folder) == ["request.json"]


@pytest.mark.parametrize("name", ["journal.jsonl", "request.json", "row-000003.block.growing"])
def test_links_among_blocks_are_refused(tmp_path: Path, name: str):
    folder, mine = tmp_path / ".p.tif.partial" / "blocks", tmp_path / "mine"
    folder.parent.mkdir()
    mine.write_text("precious")
    work = open_work(folder, {"scene": "a"})
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(mine)
    with pytest.raises(InputError, match=rf"{name} is a symbolic link, but unfinished work on p\.tif belongs there"):
        open_work(folder, {"scene": "a"})
    late = Block(3, "row-000003.block", 3, hashlib.sha256(b"new").hexdigest(), 1, 1)
    if name != "request.json":  # which is written once, at the beginning
        with pytest.raises(InputError, match="a symbolic link lies where"):
            store_block(work, late, b"new")
    assert mine.read_text() == "precious"


class FullDisk(struct.Struct):
    """Stands for the lengths that are written before each record; no more than `room` of them find space."""

    def __init__(self, room: int) -> None:
        super().__init__("<I")
        self.room = room

    def pack(self, *values: int) -> bytes:
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().pack(*values)


@pytest.mark.parametrize("blocks", [0, 3])
def test_full_disk_while_blocks_are_written(scene: Path, monkeypatch: pytest.MonkeyPatch, blocks: int):
    made, calls = undisturbed(scene)
    with monkeypatch.context() as patch:
        patch.setattr(blockfile, "_LENGTH", FullDisk(3 * blocks + 1))
        with pytest.raises(InputError) as caught:
            run(scene)
    assert str(caught.value).startswith("probability.tif cannot be written (No space left on device; ")
    assert "\n" not in str(caught.value)
    assert outputs_in(scene) == ["scene.tif"]
    assert not leftovers(scene)
    assert (scene / WORK).exists() is (blocks > 0)
    network = Counted()
    run(scene, network)
    assert (network.calls == calls) is (blocks == 0)
    assert contents(scene) == made


def test_scene_that_can_be_read_in_part_only(scene: Path):
    values = speckle(560, 150)
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    path = write_scene(scene / "scene.tif", values, **profile)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"scene\.tif cannot be read .*: copy or convert it again\.$"):
        run(scene)
    assert outputs_in(scene) == ["scene.tif"]
    assert not leftovers(scene)


def test_two_runs_on_one_output_do_not_mix(scene: Path):
    def second(_state: Progress) -> None:
        with pytest.raises(InputError, match=r"^another run is at work on probability\.tif"):
            run(scene)

    run(scene, progress=second)
    assert "probability.tif" in names(scene)


def test_kill_between_two_renames_is_taken_back(scene: Path, in_child: Child):
    made, _ = undisturbed(scene)
    assert in_child(run_killed_renaming, scene) == KILLED
    assert outputs_in(scene) == ["probability.tif", "scene.tif"]
    network = Counted()
    run(scene, network)
    assert network.calls == 0
    assert contents(scene) == made


def test_kill_after_the_last_rename_leaves_complete_outputs(scene: Path, in_child: Child):
    made, _ = undisturbed(scene)
    assert in_child(run_killed_tidying, scene) == KILLED
    assert contents(scene) == made
    with pytest.raises(InputError, match="exists; name another file"):
        run(scene)
    assert contents(scene) == made
    assert names(scene)[0] != WORK


def changed_scene(path: Path, how: str) -> None:
    """What may happen to a file while it is read."""
    other = write_scene(path.with_name("other.tif"), speckle(560, 150, seed=5))
    match how:
        case "replaced":
            other.replace(path)
        case "in place":
            path.write_bytes(other.read_bytes())
        case "removed":
            path.unlink()
        case "mask":
            with rasterio.open(f"{path}.msk", "w", driver="GTiff", width=150, height=560, count=1, dtype="uint8"):
                pass
    other.unlink(missing_ok=True)


@pytest.mark.parametrize("how", ["replaced", "in place", "removed", "mask"])
def test_scene_that_changes_while_it_is_mapped_gives_nothing(scene: Path, how: str):
    def change(state: Progress) -> None:
        if state.stage is ProgressStage.JOIN and not changes:
            changes.append(state)
            changed_scene(scene / "scene.tif", how)

    changes: list[Progress] = []
    with pytest.raises(InputError, match=r"scene.* was changed .*nothing was written"):
        run(scene, progress=change)
    assert set(outputs_in(scene)) <= {"scene.tif", "scene.tif.msk"}
    if how == "replaced":
        network, states = Counted(), list[Progress]()
        run(scene, network, progress=states.append)
        assert any(state.note.endswith("for another scene; starting anew") for state in states)


def test_same_number_of_threads_is_used_again(scene: Path, in_child: Child):
    in_child(run_killed, scene, stage=ProgressStage.JOIN, threads=2)
    block = sorted((scene / WORK / "blocks").glob("*.block"))[0]
    block.unlink()
    seen = []
    run(scene, Counted(lambda _call: seen.append(torch.get_num_threads())))
    assert 0 < len(seen) <= 6
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_memory_of_a_whole_run_does_not_grow_with_the_scene(tmp_path: Path, in_child: Child):
    """Blocks, joined raster, polygons, compression, overviews: less than half a copy of the smallest of them, 85 MB."""
    assert in_child(grown_memory, tmp_path) == 0
    assert float((tmp_path / "grown").read_text()) < 40


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(8, 40),
    overlap=st.integers(0, 30),
    encoding=st.sampled_from(Encoding),
    at_once=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_joined_blocks_are_the_single_pass(tmp_path_factory, height, width, tile, overlap, encoding, at_once, seed):
    """Also where more than two tiles overlap, whichever blocks are computed first, alone or side by side."""
    folder, overlap = tmp_path_factory.mktemp("blocks"), min(overlap, 3 * tile // 4)
    margin, (batch, together) = min(2, overlap // 2), at_once
    options = SceneOptions(tile=tile, overlap=overlap, margin=margin, multiple=1, batch_size=batch)
    source, network = ArraySource(scene_of(height, width, seed, gaps=0.3), SCENE_SENSOR), kernel(1, seed)
    whole, joined = Sink(height, width), Sink(height, width)
    expected = predict_scene(source, network, STATISTICS, options, whole)
    plan, blocks = plan_scene(source.georeference, options), dict[int, Block]()
    predictor = RowPredictor(network, STATISTICS, options)
    order = np.random.default_rng(seed).permutation(plan.tile_row_count).tolist()
    first, others = order[: len(order) // 3], sorted(order[len(order) // 3 :])
    for tile_rows in [*([tile_row] for tile_row in first), others]:
        writer = BlockWriter(folder, plan, encoding, lambda block: blocks.update({block.tile_row: block}), "p.tif")
        predictor.run(source, writer, tile_rows, together=together)
    joiner = RowJoiner(plan.rows, plan.cols, joined)
    for tile_row in range(plan.tile_row_count):
        assert blocks[tile_row].is_whole(folder)
        read_block(folder, blocks[tile_row], plan, encoding, joiner)
    assert np.array_equal(encode(joined.values, encoding), encode(whole.values, encoding), equal_nan=True)
    assert (joiner.tiles, joiner.computed_pixels) == (expected.tiles, expected.computed_pixels)
    assert joiner.valid_pixels == expected.valid_pixels


def test_codes_decode_and_encode_to_themselves():
    codes = np.arange(256, dtype=np.uint8)
    values, valid = decode(codes)
    assert np.array_equal(encode(np.where(valid, values, np.nan), Encoding.UINT8), codes)


def test_staging_leaves_nothing_where_no_block_is_finished(tmp_path: Path):
    def interrupted() -> None:
        with staged([tmp_path / "a.tif", tmp_path / "b.gpkg"]) as places:
            places.path(tmp_path / "a.tif").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
