"""check-data on scenes: offsets that are measured, images that are turned, and a picture of each place."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from raster_files import write_tiff
from scene_files import LEFT, OTHER, SIDE, TOP, houses, with_place, write_town, write_vector
from typer.testing import CliRunner

from overcast.cli import app
from overcast.data.scenes.checking import PlaceFinding, check_scenes
from overcast.data.scenes.offsets import Offset
from overcast.errors import InputError
from overcast.raster.files import open_raster


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_town(tmp_path_factory.mktemp("town"))


def only(path: Path) -> PlaceFinding:
    (found,) = check_scenes(path)
    return found


def offset(found: PlaceFinding, layer: str, reference: str) -> Offset:
    return next(one for one in found.offsets if (one.layer, one.reference) == (layer, reference))


def test_what_fits_has_no_offset_and_no_warning(town: Path) -> None:
    found = only(with_place(town, labelled_area=None))
    assert {(one.layer, one.reference) for one in found.offsets} == {
        ("optical", "sar"), ("footprints", "sar"), ("footprints", "optical")
    }  # fmt: skip
    assert max(one.px for one in found.offsets) < 0.7
    assert min(one.confidence for one in found.offsets) > 0.9
    assert found.problems == found.warnings == ()


@pytest.mark.parametrize("shift", [(12.0, 0.0), (-7.0, 9.5)])
def test_an_offset_is_measured_and_warned_of(town: Path, shift: tuple[float, float]) -> None:
    found = only(with_place(town, labelled_area=None, shift_m={"optical": list(shift)}))
    for layer, reference, sign in (("optical", "sar", -1), ("footprints", "optical", 1)):
        one = offset(found, layer, reference)
        np.testing.assert_allclose((one.east_m, one.north_m), (sign * shift[0], sign * shift[1]), atol=0.7)
        assert one.confidence > 0.9
    assert offset(found, "footprints", "sar").px < 0.7
    (sentence,) = found.warnings
    one = offset(found, "footprints", "optical")
    assert f"the footprints must be moved by {one.east_m:+.1f} m east" in sentence
    assert "to lie on the optical image (confidence" in sentence
    alone = only(with_place(town, footprints=None, labelled_area=None, shift_m={"optical": list(shift)}))
    (sentence,) = alone.warnings
    assert f"the optical must be moved by {offset(alone, 'optical', 'sar').east_m:+.1f} m east" in sentence
    assert "to lie on the SAR image (confidence" in sentence


def test_footprints_beside_the_sar_image_are_warned_of(town: Path) -> None:
    found = only(with_place(town, labelled_area=None, shift_m={"footprints": [-3.0, 2.0]}))
    one = offset(found, "footprints", "sar")
    np.testing.assert_allclose((one.east_m, one.north_m), (3.0, -2.0), atol=0.7)
    (sentence,) = (text for text in found.warnings if "SAR image" in text)
    assert "the footprints must be moved" in sentence


def test_an_optical_image_upside_down_is_told(town: Path) -> None:
    with open_raster(town.parent / "west.tif") as source:
        values, transform = source.read(), source.transform
    write_tiff(town.parent / "turned.tif", values[:, ::-1].copy(), transform, OTHER, nodata=0)
    found = only(with_place(town, optical="turned.tif", labelled_area=None))
    assert len(found.problems) == 1
    assert "the optical image fits upside down" in found.problems[0]


def test_labels_outside_of_the_labelled_area_are_counted(town: Path) -> None:
    area = shapely.box(LEFT, TOP - SIDE, LEFT + 100, TOP)
    outside = sum(not house.intersects(area) for house in houses())
    assert outside > 3
    (warning,) = only(town).warnings
    assert f"{outside} of {len(houses())} footprints lie outside of the labelled area" in warning


def test_every_place_is_looked_at_even_if_one_cannot_be_opened(town: Path) -> None:
    write_vector(town.parent / "abroad.gpkg", [shapely.box(0, 0, 10, 10)])
    description = with_place(town, "broken", sar="sar.tif", footprints="abroad.gpkg")
    names = {found.name: bool(found.problems) for found in check_scenes(description)}
    assert names == {"centre": False, "broken": True}


def test_the_command_draws_each_place_and_prints_what_it_found(town: Path, tmp_path: Path) -> None:
    command = ["check-data", "scenes", str(town), "--pictures", str(tmp_path / "pictures")]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [one["place"] for one in found] == ["centre"]
    assert len(found[0]["offsets"]) == 3
    with Image.open(tmp_path / "pictures" / "centre.png") as picture:
        assert picture.width > 3 * 480
    assert "warning: place centre" in result.stderr
    missing = CliRunner().invoke(app, ["check-data", "scenes", str(with_place(town, optical="gone.tif"))])
    assert isinstance(missing.exception, InputError)
    assert "centre: optical lacks 1" in str(missing.exception)
