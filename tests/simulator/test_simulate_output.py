"""What the simulator leaves on disk beyond pixels: STAC, radar sides, cloud masks; and what a kill leaves."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import torch
from known import known
from rasterio.warp import transform_geom

from overcast.batch import Modality
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.chips import read_chip
from overcast.data.dataset import ChipDataset, SampleOptions
from overcast.data.samples import collate
from overcast.data.statistics import compute_statistics
from overcast.methods.losses import segmentation_loss
from overcast.raster.radiometry import RadarSide
from overcast.scenes.declare import scene_radiometry
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import OpticalOptions, SarOptions, SimulationOptions
from overcast.simulator.place import place_ids, simulate_place

OPTIONS = SimulationOptions(
    name="Cloudy town",
    places=2,
    place_m=96,
    chip_px=48,
    gsd_m=1.0,
    scenes=1,
    scene_m=96,
    seed=5,
    sar=SarOptions(radar_side="mixed", wedge_share=0.3),
    optical=OpticalOptions(cloud_share=0.3),
    city=SimulationOptions().city.model_copy(update={"margin_m": 16.0}),
)
EVERY = frozenset(Modality)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return simulate_dataset(tmp_path_factory.mktemp("simulated") / "city", OPTIONS)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()


def records(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted((folder / "stac").iterdir())}


def test_stac_carries_the_required_fields_and_every_link_leads_somewhere(folder):
    found = records(folder)
    assert list(found) == ["catalog.json", "collection.json", "place0000.json", "place0001.json", "scene0000.json"]
    for record in found.values():
        assert record["stac_version"] == "1.1.0"
        hrefs = [link["href"] for link in record["links"]] + [a["href"] for a in record.get("assets", {}).values()]
        assert all((folder / "stac" / href).is_file() for href in hrefs), hrefs
    collection = found["collection.json"]
    assert {"type", "id", "description", "license", "extent", "links"} <= set(collection)
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert items == ["./place0000.json", "./place0001.json", "./scene0000.json"]
    for name in ("place0000", "place0001", "scene0000"):
        item = found[f"{name}.json"]
        assert item["type"] == "Feature"
        assert (item["id"], item["collection"]) == (name, collection["id"])
        assert {link["rel"] for link in item["links"]} == {"root", "parent", "collection"}
        for asset in item["assets"].values():
            assert asset["type"]
            assert asset["roles"]


def test_stac_lists_every_file_of_a_place_once(folder):
    named = [
        (folder / "stac" / asset["href"]).resolve()
        for record in records(folder).values()
        for key, asset in record.get("assets", {}).items()
        if key != "options"
    ]
    kinds = ("sar", "optical", "masks", "footprints", "clouds", "scenes")
    there = [path.resolve() for kind in kinds for path in (folder / kind).rglob("*") if path.is_file()]
    assert sorted(named) == sorted(there)


def test_stac_geometry_is_the_ground_of_the_files(folder):
    found = records(folder)
    west, south, east, north = found["collection.json"]["extent"]["spatial"]["bbox"][0]
    whole = shapely.box(west, south, east, north)
    for name in ("place0000", "scene0000"):
        item = found[f"{name}.json"]
        geometry = shapely.from_geojson(json.dumps(item["geometry"]))
        assert shapely.is_ccw(shapely.get_exterior_ring(geometry))
        assert geometry.bounds == tuple(item["bbox"])
        assert whole.covers(geometry)
        left, bottom, right, top = item["properties"]["proj:bbox"]
        assert item["properties"]["proj:code"] == "EPSG:32631"
        in_degrees = transform_geom("EPSG:32631", "EPSG:4326", shapely.box(left, bottom, right, top).__geo_interface__)
        assert shapely.geometry.shape(in_degrees).symmetric_difference(geometry).area < 1e-9
        grids = []
        for asset in item["assets"].values():
            if "proj:transform" in asset:
                with rasterio.open(folder / "stac" / asset["href"]) as source:
                    assert list(source.transform)[:6] == asset["proj:transform"]
                    assert list(source.shape) == asset["proj:shape"]
                    assert len(asset["raster:bands"]) == source.count
                    grids.append(shapely.box(*source.bounds))
        assert shapely.union_all(grids).equals(shapely.box(left, bottom, right, top))


def test_stac_tells_the_nuisances_that_were_drawn(folder):
    for place in place_ids(OPTIONS):
        simulated = simulate_place(place, OPTIONS)
        told = records(folder)[f"{place.name}.json"]["properties"]
        assert told["overcast:radar_side"] == simulated.strip.radar_side == ("south" if place.index % 2 else "north")
        assert told["overcast:incidence_deg"] == OPTIONS.sar.incidence_deg
        np.testing.assert_allclose(list(told["overcast:gain_db"].values()), simulated.strip.gain_db, atol=1e-4)
        np.testing.assert_allclose(list(told["overcast:noise_db"].values()), simulated.strip.noise_db, atol=1e-4)
        np.testing.assert_allclose(told["overcast:shift_m"], simulated.strip.shift_m, atol=1e-4)
        assert told["overcast:building_share"] == pytest.approx(simulated.mask.mean(), abs=1e-6)
        assert told["overcast:nodata_share"] == pytest.approx((simulated.sar[0] == 0).mean(), abs=1e-6)
        assert told["eo:cloud_cover"] == pytest.approx(100 * np.mean(simulated.clouds == 1), abs=1e-4)
        assert told["view:sun_azimuth"] == pytest.approx(simulated.exposure.sun_azimuth_deg, abs=1e-4)
        assert told["sar:frequency_band"] == "X"
        assert told["sar:polarizations"] == ["HH", "HV", "VH", "VV"]


def test_chips_seen_from_the_south_are_turned_to_the_declared_north(folder):
    catalog = folder_catalog(folder)
    assert catalog.radiometry.sar.radar_side is RadarSide.NORTH
    assert {chip.place: chip.rotate_180 for chip in catalog.chips} == {"place0000": False, "place0001": True}
    for chip in (catalog["place0000_001"], catalog["place0001_001"]):
        arrays = read_chip(replace(chip, optical_invalid=None), catalog.radiometry, catalog.label, EVERY)
        turn = 2 if chip.rotate_180 else 0
        np.testing.assert_array_equal(known(arrays.sar).values, np.rot90(read(chip.sar[0]), turn, (1, 2)))
        np.testing.assert_array_equal(known(arrays.optical).values, np.rot90(read(chip.optical[0]), turn, (1, 2)))
        label = known(arrays.label)
        counted = label != 255
        np.testing.assert_array_equal(label[counted], np.rot90(read(known(chip.mask))[0], turn)[counted])


def test_every_building_is_bright_on_the_declared_side_and_dark_behind(tmp_path):
    """Layover and double bounce towards the radar, shadow away from it, in chips of both sides once they are read."""
    sar = SarOptions(radar_side="mixed", wedge_share=0, speckle=False, misregistration_px=0)
    city = OPTIONS.city.model_copy(update={"built_share": 1, "canal_probability": 0, "trees": 0})
    options = SimulationOptions(places=2, place_m=128, chip_px=128, gsd_m=1.0, sar=sar, city=city, seed=2)
    catalog = folder_catalog(simulate_dataset(tmp_path / "city", options))
    assert [chip.rotate_180 for chip in catalog.chips] == [False, True]
    for chip in catalog.chips:
        arrays = read_chip(chip, catalog.radiometry, catalog.label, EVERY)
        hh, mask = known(arrays.sar).values[0], arrays.label == 1
        before, behind = (np.roll(mask, 4 * way, 0) & ~mask for way in (-1, 1))
        assert hh[before].mean() > hh[behind].mean() + 2, chip.key


def test_scenes_declare_the_side_that_they_were_seen_from(folder):
    assert scene_radiometry([folder / "scenes" / "scene0000" / "sar.tif"]).radar_side is RadarSide.NORTH
    one = OPTIONS.model_copy(update={"places": 0, "sar": SarOptions(radar_side=RadarSide.SOUTH)})
    place = place_ids(one)[0]
    assert simulate_place(place, one).strip.radar_side is RadarSide.SOUTH


def test_optical_is_missing_exactly_under_clouds_and_their_shadows(folder):
    catalog = folder_catalog(folder)
    assert any(read(folder / "clouds" / f"{chip.key}.tif").any() for chip in catalog.chips)
    statistics = compute_statistics(catalog.chips, catalog.radiometry)
    data = ChipDataset(catalog.chips, catalog.radiometry, catalog.label, statistics, SampleOptions(), EVERY)
    batch = collate([data[index] for index in range(len(catalog.chips))])
    for chip, valid, optical in zip(
        catalog.chips, batch.require("optical_valid"), batch.require("optical"), strict=True
    ):
        clear = read(folder / "clouds" / f"{chip.key}.tif")[0] == 0
        if chip.rotate_180:
            clear = np.rot90(clear, 2)
        np.testing.assert_array_equal(valid[0].numpy(), clear)
        assert not optical[:, ~valid[0]].any()
    pixels = np.concatenate(
        [read(c.optical[0])[:, read(folder / "clouds" / f"{c.key}.tif")[0] == 0] for c in catalog.chips], axis=1
    )
    np.testing.assert_allclose(known(statistics.optical).mean, pixels.mean(1), rtol=1e-6)


def test_losses_do_not_see_labels_under_clouds(folder):
    catalog = folder_catalog(folder)
    statistics = compute_statistics(catalog.chips, catalog.radiometry)
    data = ChipDataset(catalog.chips, catalog.radiometry, catalog.label, statistics, SampleOptions(), EVERY)
    batch = collate([data[index] for index in range(4)])
    logits = torch.randn(4, 1, 48, 48, generator=torch.Generator().manual_seed(0), requires_grad=True)
    segmentation_loss(logits, batch.require("label"), batch.require("optical_valid")).backward()
    hidden = ~batch.require("optical_valid")
    assert hidden.any()
    assert logits.grad is not None
    assert not logits.grad[hidden].any()
    assert logits.grad[~hidden & (batch.require("label")[:, None] != 255)].all()


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def command(output: Path) -> list[str]:
    settings = json.loads(OPTIONS.model_dump_json(exclude={"workers"}))
    (output.parent / "options.yaml").write_text(json.dumps(settings))
    given = [str(output.parent / "options.yaml"), "--output", str(output), "--workers", "2"]
    return [sys.executable, "-m", "overcast", "simulate", *given]


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks up worker processes in /proc")
def test_killed_with_two_workers_the_same_command_ends_with_the_same_bytes(folder, tmp_path):
    output, done = tmp_path / "city", tmp_path / "city.partial" / ".done"
    with subprocess.Popen(command(output), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not (done.is_dir() and any(done.iterdir())):
            assert process.poll() is None, "the command ended before its first place"
            time.sleep(0.005)
        workers = workers_of(process)
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    assert len(workers) >= 2
    while any(map(alive, workers)):  # for ever where workers outlive the command: the test's own limit ends it
        time.sleep(0.01)
    subprocess.run(command(output), check=True, capture_output=True)
    assert digests(output) == digests(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["city", "options.yaml"]


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")


def begun_with_full_disk_at(output: Path, file: str) -> Path:
    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(output, OPTIONS, interrupt)
    place = output.with_name("city.partial") / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to("/dev/full")
    return place


@FULL
def test_full_disk_is_one_sentence_that_names_the_file(tmp_path):
    place = begun_with_full_disk_at(tmp_path / "city", "sar/place0001_002.tif")
    ended = subprocess.run(command(tmp_path / "city"), check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    said = [line for line in ended.stderr.strip().splitlines() if not line.startswith("simulating: ")]
    assert said == [  # beside how far it is, told every half minute
        f"error: {place}: No space left on device; free some space, or write elsewhere."
    ]


@FULL
@pytest.mark.parametrize("file", ["footprints/place0000_000.gpkg", "stac/place0000.json"])
def test_full_disk_leaves_the_place_undone_and_the_next_call_completes_it(folder, tmp_path, file):
    output = tmp_path / "city"
    place = begun_with_full_disk_at(output, file)
    with pytest.raises(OSError, match="No space left") as caught:
        simulate_dataset(output, OPTIONS)
    assert caught.value.filename == str(place)
    place.unlink()
    assert digests(simulate_dataset(output, OPTIONS)) == digests(folder)


def interrupt(done: int, total: int) -> None:
    raise KeyboardInterrupt


def test_processes_write_under_their_own_names(tmp_path):
    """The record of the options appears whole or not at all, and nothing else is left beside the data set."""
    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(tmp_path / "city", OPTIONS, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["city.partial"]
    assert sorted(path.name for path in (tmp_path / "city.partial").iterdir()) == [".done", "simulation.json"]
    assert not any((tmp_path / "city.partial" / ".done").iterdir())
