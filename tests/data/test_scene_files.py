"""From scenes to chips and from files to a description: cut, new-dataset, simulate --as-scenes."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import yaml
from affine import Affine
from known import known
from raster_files import write_tiff
from scene_files import LEFT, SIDE, TOP, houses, with_place, write_town, write_vector
from typer.testing import CliRunner

from overcast.batch import IGNORE_LABEL, Modality
from overcast.cli import app
from overcast.data.catalog import Catalog
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.chips import read_chip
from overcast.data.instances import read_instances
from overcast.data.scenes.catalog import open_places, scenes_catalog
from overcast.data.scenes.cut import cut_scenes
from overcast.data.scenes.description import read_scenes
from overcast.data.scenes.draft import draft_description
from overcast.errors import ConfigError, InputError
from overcast.simulator.dataset.as_scenes import simulate_scenes
from overcast.simulator.options import SimulationOptions

BOTH = frozenset(Modality)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_town(tmp_path_factory.mktemp("town"))


def test_cut_chips_hold_the_pixels_of_their_tiles(town: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["cut", str(town), "-o", str(tmp_path / "chips"), "--tile-px", "64"])
    assert result.exit_code == 0, result.output
    tiles = {chip.key.replace("/", "_"): chip for chip in scenes_catalog(town, 64).chips if chip.labelled}
    catalog = folder_catalog(tmp_path / "chips")
    assert {chip.key for chip in catalog.chips} == set(tiles)
    assert {chip.place for chip in catalog.chips} == {"centre"}
    for chip in catalog.chips:
        mine, theirs = read_chip(chip, catalog.radiometry, catalog.label, BOTH), known(tiles[chip.key].scene).read(BOTH)
        for left, right in ((mine.sar, theirs.sar), (mine.optical, theirs.optical)):
            np.testing.assert_array_equal(known(left).values, known(right).values)
            np.testing.assert_array_equal(known(left).valid, known(right).valid)
        np.testing.assert_array_equal(mine.label, theirs.label)
    with pytest.raises(InputError, match="holds something already"):
        cut_scenes(town, tmp_path / "chips", 64)


def test_cut_leaves_out_what_is_not_complete_unless_asked(town: Path, tmp_path: Path) -> None:
    unlabelled = with_place(town, footprints=None, labelled_area=None)
    with pytest.raises(InputError, match="no tile has labels and every image"):
        cut_scenes(unlabelled, tmp_path / "none", 64)
    assert not list(tmp_path.iterdir())
    assert cut_scenes(unlabelled, tmp_path / "all", 64, complete_only=False) == 9
    assert not (tmp_path / "all" / "masks").exists()


def test_a_draft_names_what_lies_there_and_is_refused_until_it_is_completed(town: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write_town(root).unlink()
    result = CliRunner().invoke(app, ["new-dataset", str(root)])
    assert result.exit_code == 0, result.output
    path = root / "scenes.yaml"
    text = path.read_text()
    place = yaml.safe_load(text)["places"]["place1"]
    assert place["sar"] == ["sar.tif"]
    assert sorted(place["optical"]) == ["east.tif", "west.tif"]
    assert place["footprints"] == "houses.gpkg"
    assert place["labelled_area"] == "checked.gpkg"
    with pytest.raises(ConfigError, match="STATE_THIS"):
        read_scenes(path)
    text = text.replace("licence: STATE_THIS", "licence: CC0-1.0").replace("radar_side: STATE_THIS", "radar_side: west")
    text = text.replace("bands: STATE_THIS", "bands: [VV]", 1).replace("unit: STATE_THIS", "unit: amplitude", 1)
    text = text.replace("bands: STATE_THIS", "bands: [red, green, blue]").replace("STATE_THIS", "digital_number")
    path.write_text(text)
    found = open_places(path)[1][0]
    np.testing.assert_array_equal(found.label(found.grid.whole), open_places(town)[1][0].label(found.grid.whole))
    with pytest.raises(InputError, match="exists already"):
        draft_description(root)


def test_a_draft_of_chips_is_one_of_a_folder(town: Path, tmp_path: Path) -> None:
    cut_scenes(town, tmp_path / "chips", 64)
    (tmp_path / "chips" / "dataset.yaml").unlink()
    path, text = draft_description(tmp_path / "chips")
    drafted = yaml.safe_load(text)
    assert path.name == "dataset.yaml"
    assert (drafted["sar"]["folders"], drafted["optical"]["folders"], drafted["label"]["folder"]) == (
        ["sar"], ["optical"], "masks"
    )  # fmt: skip
    assert drafted["sar"]["bands"] == ["VV"]
    path.write_text(text)
    with pytest.raises(InputError, match="licence: STATE_THIS"):
        folder_catalog(tmp_path / "chips")
    with pytest.raises(InputError, match="holds no image"):
        draft_description(_empty(tmp_path / "empty"))


def _empty(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_labelled_area_keeps_the_rest_of_a_chip_from_becoming_background(tmp_path: Path) -> None:
    catalog = _folder_with_area(tmp_path / "chips")
    arrays = read_chip(catalog.chips[0], catalog.radiometry, catalog.label, BOTH)
    assert arrays.label is not None
    assert (arrays.label[:, 100:] == IGNORE_LABEL).all()
    assert set(np.unique(arrays.label[:, :100])) == {0, 1}
    numbered = read_instances(catalog.chips[0], catalog.label)
    assert numbered is not None
    np.testing.assert_array_equal(numbered == -1, arrays.label == IGNORE_LABEL)
    (tmp_path / "chips" / "area.gpkg").unlink()
    with pytest.raises(InputError, match=r"area.gpkg does not exist; correct label.labelled_area"):
        folder_catalog(tmp_path / "chips")


def _folder_with_area(root: Path) -> Catalog:
    grid = Affine(1, 0, LEFT, 0, -1, TOP)
    write_tiff(root / "sar" / "a.tif", np.ones((SIDE, SIDE), np.float32), grid)
    write_vector(root / "houses" / "a.gpkg", houses())
    write_vector(root / "area.gpkg", [shapely.box(LEFT, TOP - SIDE, LEFT + 100, TOP)])
    (root / "dataset.yaml").write_text(
        "{name: a, class_name: building, licence: CC0-1.0, "
        "sar: {folders: [sar], bands: [VV], unit: amplitude, gsd_m: 1}, "
        "label: {folder: houses, labelled_area: area.gpkg}}"
    )
    return folder_catalog(root)


def test_a_simulated_town_is_a_data_set_of_scenes(tmp_path: Path) -> None:
    options = SimulationOptions(places=0, scenes=1, scene_m=192.0, gsd_m=1.0)
    path = simulate_scenes(tmp_path / "town", options)
    assert simulate_scenes(tmp_path / "town", options) == path
    (place,) = open_places(path)[1]
    arrays = place.read(place.grid.whole, BOTH)
    assert place.grid.gsd_m == 1.0
    assert arrays.optical is not None
    assert arrays.optical.valid.mean() > 0.99
    assert place.optical is not None
    assert place.optical.layers[0].source.crs == "EPSG:3035"
    assert place.optical.layers[0].source.gsd_m == pytest.approx(0.8)
    known = place.known(place.grid.whole)
    assert known[:, :64].all()
    assert not known[:, 64:].any()
    with pytest.raises(ConfigError, match="multiple of 16"):
        simulate_scenes(tmp_path / "odd", options.model_copy(update={"scene_m": 200.0}))
    with pytest.raises(ConfigError, match="places=0"):
        simulate_scenes(tmp_path / "chips", options.model_copy(update={"places": 1}))
