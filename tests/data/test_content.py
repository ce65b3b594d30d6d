"""What check-data and train say of the pixels of a data set before a step is made."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import TINY_SETS
from raster_files import write_tiff
from rich.console import Console
from typer.testing import CliRunner

from overcast.cli import app
from overcast.config import load_config, train
from overcast.data.catalogs.folder import folder_catalog, read_description
from overcast.data.chips import Chip
from overcast.data.content import look_at, require_usable, spread
from overcast.data.statistics import compute_statistics
from overcast.errors import InputError, OvercastError, RadiometryError
from overcast.raster.radiometry import Radiometry, SensorRadiometry, Unit

YAML = """\
name: town
class_name: building
licence: CC0-1.0
sar: {folders: [sar], bands: [HH, VV], unit: dB, gsd_m: 0.5, radar_side: north}
label: {folder: masks, foreground: 1, background: 0}
"""
SIDE = 32
KEYS = [f"c{number}" for number in range(6)]


def radar(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(-12, 4, (2, SIDE, SIDE)).astype(np.float32)


def place(index: int) -> Any:
    return rasterio.Affine(0.5, 0, 593000 + 3000 * index, 0, -0.5, 5750000)


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Six chips, 3 km apart, without a fault."""
    root = tmp_path / "town"
    root.mkdir()
    (root / "dataset.yaml").write_text(YAML)
    for index, key in enumerate(KEYS):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[4:14, 4:14] = 1
        write_tiff(root / "sar" / f"{key}.tif", radar(index), place(index))
        write_tiff(root / "masks" / f"{key}.tif", mask, place(index))
    return root


def rewrite(path: Path, values: np.ndarray, index: int, **profile: Any) -> None:
    write_tiff(path, values, place(index), **profile)


def undeclared_nodata(root: Path) -> None:
    values = radar(2)
    values[:, :, :11] = -9999
    rewrite(root / "sar" / "c2.tif", values, 2)


def undeclared_nodata_of_scaled_numbers(root: Path) -> None:
    for index, key in enumerate(KEYS):
        stored = np.round(radar(index) * 100).astype(np.int16)
        stored[:, :, :11] = -32768
        rewrite(root / "sar" / f"{key}.tif", stored, index)
        with rasterio.open(root / "sar" / f"{key}.tif", "r+") as file:
            file.scales = (0.01, 0.01)


def a_value_amid_the_others(root: Path) -> None:
    for index, key in enumerate(KEYS):
        values = radar(index)
        values[0, :, :3] = -10
        rewrite(root / "sar" / f"{key}.tif", values, index)


def one_chip_of_power(root: Path) -> None:
    rewrite(root / "sar" / "c3.tif", 10 ** (radar(3) / 10), 3)


def bands_of_other_names(root: Path) -> None:
    with rasterio.open(root / "sar" / "c3.tif", "r+") as file:
        file.descriptions = ("VV", "HH")


def power_for_db(root: Path) -> None:
    for index, key in enumerate(KEYS):
        rewrite(root / "sar" / f"{key}.tif", 10 ** (radar(index) / 10), index)


def db_for_power(root: Path) -> None:
    (root / "dataset.yaml").write_text(YAML.replace("unit: dB", "unit: linear_power"))


def masks_of_255(root: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4:14, 4:14] = 255
    rewrite(root / "masks" / "c4.tif", mask, 4)


def masks_of_three_bands(root: Path) -> None:
    rewrite(root / "masks" / "c1.tif", np.zeros((3, SIDE, SIDE), np.uint8), 1)


def one_file_twice(root: Path) -> None:
    for index, key in enumerate(KEYS):
        rewrite(root / "sar" / f"{key}.tif", radar(index)[[0, 0]], index)


FAULTS = [
    (undeclared_nodata, r"c2\.tif: HH: -9999 cannot be dB; declare nodata: -9999 if it means no data"),
    (
        undeclared_nodata_of_scaled_numbers,
        r"c0\.tif: HH: -327\.6799927 cannot be dB; declare nodata: -32768 if",
    ),
    (a_value_amid_the_others, r"town: HH: 9\.4% of its values are exactly -10, .*; declare nodata: -10 if it means"),
    (one_chip_of_power, r"c3\.tif: HH: values from .* look linear, not like dB; correct the declared unit"),
    (bands_of_other_names, r"c3\.tif calls its bands VV, HH, but HH, VV are declared"),
    (power_for_db, "HH: values from .* look linear, not like dB; correct the declared unit"),
    (db_for_power, "HH: .*below 0, too many for power; correct the declared unit"),
    (masks_of_255, r"c4\.tif holds the values 255, but the masks are declared as foreground 1"),
    (masks_of_three_bands, r"c1\.tif has 3 bands, but a mask has one"),
    (one_file_twice, "HH and VV hold the same pixels"),
]


@pytest.mark.parametrize(("spoil", "match"), FAULTS, ids=[row[0].__name__ for row in FAULTS])
def test_check_data_and_train_refuse_the_same(town: Path, spoil: Any, match: str):
    spoil(town)
    result = CliRunner().invoke(app, ["check-data", "folder", str(town)])
    with pytest.raises(OvercastError, match=match):
        raise result.exception or AssertionError("check-data found nothing")
    sets = [*TINY_SETS, f"data.root={town}"]
    with pytest.raises(OvercastError, match=match):
        train(load_config(None, sets), town.parent / "run", console=Console(file=io.StringIO()))
    assert not (town.parent / "run" / "statistics.json").exists()


def test_a_data_set_without_fault_is_told_with_its_split(town: Path):
    result = CliRunner().invoke(app, ["check-data", "folder", str(town)])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "The headers of 6 chips agree. 6 of them were read." in said
    assert "split: 4 train, 1 validation, 1 test" in said
    told = json.loads(CliRunner().invoke(app, ["check-data", "folder", str(town), "--json"]).stdout)
    assert (told["pixels"], told["problems"], told["notes"]) == (6, [], [])
    headers = CliRunner().invoke(app, ["check-data", "folder", str(town), "--headers"])
    assert "No pixel was read." in " ".join(headers.stdout.split())


def test_what_is_no_fault_is_noted(town: Path):
    """Chips without data, without the class, and one in another coordinate system."""
    rewrite(town / "sar" / "c3.tif", np.full((2, SIDE, SIDE), np.nan, np.float32), 3)
    for layer, values in (("sar", radar(5)), ("masks", np.zeros((SIDE, SIDE), np.uint8))):
        rewrite_in = rasterio.Affine(0.5, 0, 400000, 0, -0.5, 5750000)
        write_tiff(town / layer / "c5.tif", values, rewrite_in, "EPSG:32632")
    catalog = folder_catalog(town)
    content = look_at(catalog, catalog.chips)
    assert content.problems == ()
    assert content.notes[0] == "1 chips have no radar pixel with data (c3)"
    assert content.notes[1].startswith("1 of 6 chips lie in EPSG:32632 (c5), most in EPSG:32631")
    for index, key in enumerate(KEYS[:2]):
        rewrite(town / "masks" / f"{key}.tif", np.ones((SIDE, SIDE), np.uint8), index)
    assert look_at(catalog, catalog.chips[:2]).notes[0] == "every pixel of 2 labelled chips is building"
    (only,) = look_at(catalog, catalog.chips[5:]).notes[:1]
    assert only == "no pixel of 1 labelled chips is building"


def test_all_faults_are_told_at_once(town: Path):
    undeclared_nodata(town)
    masks_of_255(town)
    catalog = folder_catalog(town)
    with pytest.raises(InputError, match=r"c2\.tif: HH: -9999 .*; .*c4\.tif holds the values 255"):
        require_usable(catalog, catalog.chips)
    for key in ("c0", "c1", "c2", "c3", "c4", "c5"):
        rewrite(town / "masks" / f"{key}.tif", np.zeros((3, SIDE, SIDE), np.uint8), int(key[1]))
    with pytest.raises(
        InputError, match=r"6 of 6 chips cannot be used: .*c0\.tif has 3.*c4\.tif has 3.*; and 1 more\.$"
    ):
        folder_catalog(town)


def test_every_error_of_a_description_is_told(tmp_path: Path):
    path = tmp_path / "dataset.yaml"
    path.write_text(YAML.replace("unit: dB", "unit: decibel").replace("class_name", "classname").replace("masks", "[]"))
    with pytest.raises(InputError) as refused:
        read_description(path)
    for key in ("sar.unit", "classname is not a known key; did you mean class_name", "label.folder", "class_name: "):
        assert key in str(refused.value)


def test_a_fault_that_the_sample_misses_is_found_by_the_statistics(tmp_path: Path):
    values = radar(0)
    values[1, 3, 3:6] = 2147483647
    chip = Chip("a", "a", (write_tiff(tmp_path / "a.tif", values),), ())
    sensor = SensorRadiometry(bands=("HH", "VV"), unit=Unit.DECIBEL, gsd_m=0.5)
    with pytest.raises(RadiometryError, match=r"a\.tif: VV: 2147483648 cannot be dB; declare nodata: 2147483648"):
        compute_statistics([chip], Radiometry(sar=sensor))
    compute_statistics([chip], Radiometry(sar=sensor.model_copy(update={"accept_values": True})))


def test_a_sample_is_spread_over_all_chips():
    chips = [Chip(str(number), "p", (), ()) for number in range(1000)]
    chosen = [int(chip.key) for chip in spread(chips, 5)]
    assert chosen == [0, 249, 499, 749, 999]
    assert spread(chips[:3], 5) == tuple(chips[:3])
    assert spread([], 5) == ()
