"""What is missing in a download: counts by part, missing names, exit codes."""

import json
import shutil
from pathlib import Path
from typing import Any

import catalog_miniatures as miniature
import numpy as np
import pytest
import spacenet6_miniature
from raster_files import write_png
from scene_files import write_town
from typer.testing import CliRunner

from overcast.cli import app
from overcast.data.catalogs.inventory import PartCount, take_inventory
from overcast.data.catalogs.names import DatasetName
from overcast.errors import InputError

FOLDER_YAML = """
name: town
class_name: building
licence: CC0-1.0
sar: {folders: [sar], bands: [VV], unit: dB, gsd_m: 1.0}
optical:
  {folders: [optical], bands: [r, g, b], unit: digital_number, gsd_m: 1.0, invalid: {folder: clouds, values: [1]}}
label: {folder: masks}
"""


def write_folder(root: Path, subset: str = "") -> Path:
    """Two chips of a paired folder."""
    root.mkdir(exist_ok=True)
    (root / "dataset.yaml").write_text(FOLDER_YAML)
    for name in ("a", "b"):
        for layer, channels in (("sar", ()), ("optical", (3,)), ("clouds", ()), ("masks", ())):
            write_png(root / subset / layer / f"{name}.png", np.zeros((8, 8, *channels), np.uint8))
        radar = np.random.default_rng(ord(name)).integers(1, 60, (8, 8)).astype(np.uint8)
        write_png(root / subset / "sar" / f"{name}.png", radar)
    return root


def write_spacenet6(root: Path) -> Path:
    spacenet6_miniature.write_train(root)
    spacenet6_miniature.write_test_public(root)
    return root


WRITERS: dict[DatasetName, Any] = {
    DatasetName.FOLDER: write_folder,
    DatasetName.SPACENET6: write_spacenet6,
    DatasetName.DFC2023: miniature.write_dfc2023,
    DatasetName.OPENEARTHMAP_SAR: miniature.write_openearthmap_sar,
    DatasetName.BRIGHT: miniature.write_bright,
    DatasetName.SCENES: write_town,
}


def counts(name: DatasetName, root: Path, **options: bool) -> dict[str, tuple[int, int | None, int, bool]]:
    parts = take_inventory(name, root, **options).parts
    return {part.name: (part.found, part.expected, len(part.missing), part.needed) for part in parts}


@pytest.mark.parametrize("name", list(DatasetName))
def test_every_miniature_is_a_complete_part_and_its_headers_agree(tmp_path: Path, name: DatasetName) -> None:
    WRITERS[name](tmp_path)
    result = CliRunner().invoke(app, ["check-data", name, str(tmp_path), "--partial", "--headers"])
    assert result.exit_code == 0, result.output
    assert "is complete. The headers of" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("name", "lack"),
    [
        (DatasetName.SPACENET6, "train/SAR-Intensity has 4 of 3401"),
        (DatasetName.DFC2023, "train/rgb has 5 of 1773"),
        (DatasetName.OPENEARTHMAP_SAR, "train/sar_images has 8 of 4333"),
    ],
)
def test_fewer_files_than_published_are_incomplete(tmp_path: Path, name: DatasetName, lack: str) -> None:
    WRITERS[name](tmp_path)
    inventory = take_inventory(name, tmp_path)
    assert not inventory.complete
    assert f"is incomplete: {lack}; " in inventory.sentence
    assert inventory.sentence.count(". ") == 0


def test_spacenet6_is_counted_by_layer(tmp_path: Path) -> None:
    write_spacenet6(tmp_path)
    aoi = tmp_path / "train" / spacenet6_miniature.AOI
    next((aoi / "PS-RGB").glob("*tile_3.tif")).unlink()
    shutil.rmtree(aoi / "PAN")
    found = counts(DatasetName.SPACENET6, tmp_path)
    assert found["train/SAR-Intensity"] == (4, 3401, 0, True)
    assert found["train/PS-RGB"] == (3, 3401, 1, True)
    assert found["train/PAN"] == (0, 3401, 0, False)
    assert found["train/SummaryData/SAR_orientations.txt (strips)"] == (2, 204, 0, True)
    assert found[f"test_public/{spacenet6_miniature.AOI}/SAR-Intensity"] == (4, None, 0, False)
    (aoi / "SummaryData" / "SAR_orientations.txt").unlink()
    sentence = take_inventory(DatasetName.SPACENET6, tmp_path, partial=True).sentence
    assert f"train/PS-RGB lacks 1 ({spacenet6_miniature.TILES[2].key})" in sentence
    assert f"(strips) lacks 2 ({spacenet6_miniature.NORTH_STRIP}, " in sentence


def test_dfc2023_counts_what_its_annotations_name(tmp_path: Path) -> None:
    track2 = miniature.write_dfc2023(tmp_path)
    (track2 / "train" / "rgb" / f"{next(iter(miniature.DFC_TILES))}.tif").unlink()
    (track2 / "val" / "sar" / "P_0001.tif").unlink()
    found = counts(DatasetName.DFC2023, tmp_path)
    assert found["train/rgb"] == (4, 1773, 1, True)
    assert found["buildings_only_train.json (images)"] == (5, 1773, 0, True)
    assert found["val/sar"] == (0, 579, 1, False)
    (track2 / "buildings_only_train.json").unlink()
    assert counts(DatasetName.DFC2023, tmp_path, partial=True)["buildings_only_train.json (images)"] == (0, 5, 5, True)


def test_openearthmap_sar_does_not_need_the_labels_drawn_by_hand(tmp_path: Path) -> None:
    root = miniature.write_openearthmap_sar(tmp_path, manual=False)
    found = counts(DatasetName.OPENEARTHMAP_SAR, root, partial=True)
    assert found["train/rgb_images"] == (8, 8, 0, True)
    assert found["val/labels"] == (0, 4, 4, False)
    assert take_inventory(DatasetName.OPENEARTHMAP_SAR, root, partial=True).complete


def test_bright_tells_missing_files_from_withheld_ones(tmp_path: Path) -> None:
    miniature.write_bright(tmp_path)
    found = counts(DatasetName.BRIGHT, tmp_path)
    assert found["pre-event"] == (8, 8, 0, True)
    assert found["pre-event of Mexico, Myanmar, Ukraine"] == (0, 2, 2, False)
    assert take_inventory(DatasetName.BRIGHT, tmp_path).complete
    (tmp_path / "target" / "libya-flood_00000001_building_damage.tif").unlink()
    assert "target lacks 1 (libya-flood_00000001)" in take_inventory(DatasetName.BRIGHT, tmp_path).sentence


@pytest.mark.parametrize("subset", ["", "train"])
def test_folders_are_counted_in_the_root_or_its_subsets(tmp_path: Path, subset: str) -> None:
    write_folder(tmp_path, subset)
    prefix = f"{subset}/" if subset else ""
    assert counts(DatasetName.FOLDER, tmp_path) == {
        f"{prefix}{layer}": (2, 2, 0, True) for layer in ("sar", "optical", "clouds", "masks")
    }
    (tmp_path / subset / "masks" / "b.png").unlink()
    assert f"{prefix}masks lacks 1 (b)" in take_inventory(DatasetName.FOLDER, tmp_path).sentence


def test_a_folder_without_its_subfolders_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(FOLDER_YAML)
    with pytest.raises(InputError, match="holds no folder sar, neither itself nor in a sub-folder"):
        take_inventory(DatasetName.FOLDER, tmp_path)


def test_an_empty_layer_is_not_complete() -> None:
    assert not PartCount("sar", 0, 0).complete
    assert not PartCount("sar", 0, None).complete
    assert PartCount("sar", 0, None, needed=False).complete


def test_the_command_lists_first_and_ends_with_code_two(tmp_path: Path) -> None:
    miniature.write_bright(tmp_path)
    (tmp_path / "target" / "libya-flood_00000001_building_damage.tif").unlink()
    result = CliRunner().invoke(app, ["check-data", "bright", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "1: libya-flood_00000001" in result.stdout
    as_json = CliRunner().invoke(app, ["check-data", "bright", str(tmp_path), "--json"])
    content = json.loads(as_json.stdout)
    assert (content["name"], content["complete"]) == ("bright", False)
    assert {part["part"]: part["missing"] for part in content["parts"]}["target"] == ["libya-flood_00000001"]


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none is not a folder"):
        take_inventory(DatasetName.BRIGHT, tmp_path / "none")
