import hashlib
import re
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from pydantic import ValidationError

from overcast.choices import SimulationPreset
from overcast.errors import ConfigError, InputError
from overcast.simulator.city.geometry import Extent
from overcast.simulator.dataset.folder import OPTIONS_FILE, simulate_dataset
from overcast.simulator.options import CRS, SarOptions, SimulationOptions, preset
from overcast.simulator.place import place_bounds, place_ids, simulate_place

SMALL = SimulationOptions(
    places=2,
    place_m=128,
    chip_px=64,
    gsd_m=1.0,
    scenes=1,
    scene_m=160,
    seed=11,
    sar=SarOptions(wedge_share=0.4),
    city=SimulationOptions().city.model_copy(update={"margin_m": 24.0}),
)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return simulate_dataset(tmp_path_factory.mktemp("simulated") / "city", SMALL)


def test_layout_and_description(folder):
    stems = {sub: sorted(p.stem for p in (folder / sub).iterdir()) for sub in ("sar", "optical", "masks", "footprints")}
    assert stems["sar"] == stems["optical"] == stems["masks"] == stems["footprints"]
    assert len(stems["sar"]) == 2 * 4
    description = yaml.safe_load((folder / "dataset.yaml").read_text())
    pattern = re.compile(description["place_pattern"])
    assert {match["place"] for stem in stems["sar"] if (match := pattern.match(stem))} == {"place0000", "place0001"}
    assert description["sar"] == {
        "folders": ["sar"],
        "bands": ["HH", "HV", "VH", "VV"],
        "unit": "dB",
        "nodata": 0.0,
        "gsd_m": 1.0,
        "radar_side": "north",
    }
    assert sorted(p.name for p in (folder / "scenes" / "scene0000").iterdir()) == [
        "footprints.gpkg",
        "mask.tif",
        "optical.tif",
        "sar.tif",
        "sar.yaml",
    ]


def test_rasters_share_one_grid_with_crs_and_names(folder):
    for path in sorted((folder / "sar").iterdir()):
        with (
            rasterio.open(path) as sar,
            rasterio.open(folder / "optical" / path.name) as optical,
            rasterio.open(folder / "masks" / path.name) as mask,
        ):
            assert sar.crs == optical.crs == mask.crs == rasterio.crs.CRS.from_string(CRS)
            assert sar.transform == optical.transform == mask.transform
            assert sar.shape == optical.shape == mask.shape == (64, 64)
            assert (sar.count, optical.count, mask.count) == (4, 4, 1)
            assert (sar.dtypes[0], optical.dtypes[0], mask.dtypes[0]) == ("float32", "uint8", "uint8")
            assert sar.descriptions == ("HH", "HV", "VH", "VV")
            assert sar.nodata == 0
            assert set(np.unique(mask.read())) <= {0, 1}


def test_chips_of_a_place_tile_its_ground_and_places_share_none(folder):
    boxes: dict[str, list[shapely.Polygon]] = {}
    for path in sorted((folder / "sar").iterdir()):
        with rasterio.open(path) as source:
            boxes.setdefault(path.stem[:9], []).append(shapely.box(*source.bounds))
    with rasterio.open(folder / "scenes" / "scene0000" / "sar.tif") as source:
        boxes["scene"] = [shapely.box(*source.bounds)]
    unions = {name: shapely.union_all(parts) for name, parts in boxes.items()}
    for name, parts in boxes.items():
        assert unions[name].area == pytest.approx(sum(part.area for part in parts))
    names = list(unions)
    gaps = [unions[a].distance(unions[b]) for i, a in enumerate(names) for b in names[:i]]
    assert min(gaps) >= 2 * SMALL.city.margin_m


def test_footprints_read_back_and_rasterise_to_the_mask(folder):
    for path in sorted((folder / "masks").iterdir()):
        table = geopandas.read_file(folder / "footprints" / f"{path.stem}.gpkg")
        assert table.crs == CRS
        assert {"height_m", "eaves_m", "roof", "kind", "geometry"} <= set(table.columns)
        with rasterio.open(path) as source:
            mask, transform = source.read(1), source.transform
        rows, cols = np.mgrid[:64, :64]
        x, y = transform.c + cols + 0.5, transform.f - rows - 0.5
        inside = np.zeros(mask.shape, bool)
        for shape in table.geometry:
            inside |= shapely.contains_xy(shape, x, y)
        assert np.array_equal(mask.astype(bool), inside)
        assert table.is_valid.all()
        if len(table):
            assert (table.height_m >= table.eaves_m).all()
            assert (table.height_m > 1.5).all()


def test_nodata_is_zero_in_all_bands_or_none(folder):
    empty = 0.0
    for path in sorted((folder / "sar").iterdir()):
        with rasterio.open(path) as source:
            values = source.read()
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert np.array_equal((values == 0).all(0), (values == 0).any(0))
        empty += (values == 0).mean()
    assert empty > 0


def test_values_lie_in_the_range_of_spacenet6():
    """Band means and deviations of SpaceNet 6 (valid pixels), within what a few strips can drift."""
    options = SimulationOptions(places=4, place_m=192, chip_px=192, gsd_m=1.0, sar=SarOptions(wedge_share=0))
    bands = np.concatenate([simulate_place(place, options).sar.reshape(4, -1) for place in place_ids(options)], 1)
    np.testing.assert_allclose(bands.mean(1), [28.6, 36.1, 33.8, 26.2], atol=5)
    np.testing.assert_allclose(bands.std(1), [8.41, 8.27, 8.32, 8.64], atol=3)
    assert bands.max() < 93


def test_brightness_does_not_find_buildings():
    """The best single threshold on any band, either way, is hardly better than calling everything a building."""
    options = SimulationOptions(places=4, place_m=192, chip_px=192, gsd_m=1.0, sar=SarOptions(wedge_share=0))
    places = [simulate_place(place, options) for place in place_ids(options)]
    label = np.concatenate([place.mask.ravel() for place in places]).astype(bool)
    bands = np.concatenate([place.sar.reshape(4, -1) for place in places], 1)
    best = 0.0
    for values in np.concatenate([bands, -bands]):
        for threshold in np.quantile(values, np.linspace(0, 1, 21)):
            found = values >= threshold
            best = max(best, (found & label).sum() / (found | label).sum())
    assert best < label.mean() + 0.12


def test_same_seed_same_bytes_with_any_number_of_processes(folder, tmp_path):
    again = simulate_dataset(tmp_path / "again", SMALL.model_copy(update={"workers": 2}))
    assert digests(again) == digests(folder)


def test_other_seed_other_bytes(folder):
    place = place_ids(SMALL)[0]
    other = simulate_place(place, SMALL.model_copy(update={"seed": 12}))
    assert not np.array_equal(simulate_place(place, SMALL).mask, other.mask)


def test_interrupted_run_goes_on_and_leaves_nothing_half_written(folder, tmp_path):
    output, seen = tmp_path / "city", []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 1 and len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(output, SMALL, stop)
    assert not output.exists()
    simulate_dataset(output, SMALL, stop)
    assert seen == [(0, 3), (1, 3), (1, 3), (2, 3), (3, 3)]
    assert digests(output) == digests(folder)
    assert not output.with_name("city.partial").exists()


def test_two_simulations_do_not_write_one_folder(tmp_path):
    refused = []

    def second(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(ConfigError, match=r"another process is writing to .*city\.partial") as error:
                simulate_dataset(tmp_path / "city", SMALL)
            refused.append(error)

    simulate_dataset(tmp_path / "city", SMALL, second)
    assert len(refused) == 1


def test_finished_folder_is_kept_and_a_strange_one_refused(folder, tmp_path):
    calls: list[tuple[int, int]] = []
    assert simulate_dataset(folder, SMALL, lambda *progress: calls.append(progress)) == folder
    assert not calls
    with pytest.raises(InputError, match="exists and holds something else"):
        simulate_dataset(folder, SMALL.model_copy(update={"seed": 1}))
    begun = tmp_path / "other.partial"
    begun.mkdir()
    (begun / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other options"):
        simulate_dataset(tmp_path / "other", SMALL)


def test_options_are_kept_with_the_data_and_refuse_nonsense(folder):
    kept = SimulationOptions.model_validate_json((folder / OPTIONS_FILE).read_text())
    assert kept == SMALL.model_copy(update={"workers": 1})
    with pytest.raises(ValidationError, match="nothing to simulate"):
        SimulationOptions(places=0)
    with pytest.raises(ValidationError, match="extra"):
        SimulationOptions.model_validate({"plaecs": 3})
    assert preset(SimulationPreset.SPACENET6).gsd_m == 0.5
    assert preset(SimulationPreset.DEMO).gsd_m == 1.0


def test_places_lie_on_a_grid_with_gaps():
    options = SimulationOptions(places=70, place_m=256, chip_px=256)
    boxes = [place_bounds(place, options) for place in place_ids(options)]
    assert len({(box.left, box.bottom) for box in boxes}) == 70
    assert all(isinstance(box, Extent) for box in boxes)
    assert boxes[1].left - boxes[0].right == options.gap_m
    assert boxes[64].bottom - boxes[0].top == options.gap_m
