"""Places for the one-band model: drawn districts and towns of real footprints under one wide choice of radars.

The drawn places are those of configs/bundled/one-band-simulation.yaml. Of the towns, real outlines whose licences allow
a model to be passed on, each is simulated anew for every turn about its middle, so that the radar sees it from all
sides. All become one folder data set with a split: towns only train, drawn places train, validate and test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import yaml
from rich.console import Console
from rich.progress import track

from overcast.choices import SimulationPreset
from overcast.data.splits.file import write_split
from overcast.data.splits.parts import Split
from overcast.errors import InputError
from overcast.settings import read_settings
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import FootprintOptions, SimulationOptions, preset
from overcast.simulator.town.given import digest
from overcast.simulator.town.tiling import tiled

TURNS_DEG = tuple(range(0, 360, 30))
TEST_PLACES, VALIDATION_PLACES = 36, 14
"""The last drawn places, and those before them."""
LAYERS = ("sar", "optical", "masks")
LICENCE = "CC0-1.0; outlines of towns: MIT (3D geoinformation group, TU Delft), public domain (Dutch BAG)"


@dataclass(frozen=True)
class TownFile:
    """Real footprints that a model may be made from and passed on."""

    name: str
    places: int
    """At most so many, those with the most built ground."""
    crs: str | None = None
    heights: bool = True
    """False: the file tells no heights, which are then drawn."""


TOWNS = (
    TownFile("delft.json", 1),
    TownFile("rotterdam_subset.json", 1, crs="EPSG:28992"),
    TownFile("zurich_subset_lod2.json", 6),
    TownFile("tudcampus.geojson", 34, heights=False),
)


def drawn_options(config: Path, sets: list[str]) -> SimulationOptions:
    """The options of the drawn places."""
    base = preset(SimulationPreset.DEMO).model_dump(mode="json")
    return read_settings(SimulationOptions, config, sets, base)


def write_places(output: Path, drawn: SimulationOptions, cities: Path | None) -> Path:
    """Simulate what is missing and return the folder of the joined data set, with `split.csv` in it.

    Args:
        output: Folder of the parts and of the joined data set.
        drawn: Options of the drawn places; towns take the same but for the ground.
        cities: Folder with the files of the towns; None leaves them out.

    Raises:
        InputError: A file of a town is missing.
    """
    parts = [("drawn", simulate_dataset(output / "drawn", drawn))]
    runs = [] if cities is None else [(town, turn) for town in TOWNS for turn in TURNS_DEG]
    for number, (town, turn) in enumerate(track(runs, "towns", console=Console(stderr=True), transient=True)):
        assert cities is not None
        name = f"{Path(town.name).stem}-{turn:03d}"
        like = drawn.model_copy(update={"seed": drawn.seed + 1 + number})
        options = _town_options(output, cities, (town, turn), like)
        parts.append((name, simulate_dataset(output / "towns" / name, options)))
    return _joined(output / "places", parts, drawn.places)


def _town_options(
    output: Path, cities: Path, which: tuple[TownFile, int], drawn: SimulationOptions
) -> SimulationOptions:
    town, turn = which
    file = cities / town.name
    if not file.is_file():
        raise InputError(f"{file} is missing: give the folder that holds {', '.join(each.name for each in TOWNS)}.")
    if not town.heights:
        file = _with_heights(file, output / "heights" / f"{file.stem}-{turn:03d}.gpkg", drawn.seed)
    footprints = FootprintOptions(
        file=str(file),
        height=None if town.heights else "height_m",
        crs=town.crs,
        turn_deg=float(turn),
        sha256=digest(file),
    )
    changes = {"name": f"town {file.stem}", "footprints": footprints, "place_m": 256.0, "chip_px": 256}
    return tiled(drawn.model_copy(update=changes), town.places)


def _with_heights(source: Path, target: Path, seed: int) -> Path:
    """The footprints with a height for each: sheds below 30 m2, else up to 30 m, the larger the higher."""
    if target.is_file():
        return target
    table = geopandas.read_file(source)[["geometry"]]
    area = table.geometry.area.to_numpy()
    rng = np.random.default_rng(seed)
    highest = np.where(area < 30, 3.5, np.minimum(30.0, 5.0 + 0.45 * np.sqrt(area)))
    lowest = np.where(area < 30, 2.2, 3.0)
    target.parent.mkdir(parents=True, exist_ok=True)
    table.assign(height_m=np.round(rng.uniform(lowest, highest), 2)).to_file(target)
    return target


def _joined(target: Path, parts: list[tuple[str, Path]], drawn: int) -> Path:
    """One folder with the files of all parts, linked under names that begin with the part's."""
    if (target / "split.csv").is_file():
        return target
    keys: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for name, root in parts:
        for layer in LAYERS:
            (target / layer).mkdir(parents=True, exist_ok=True)
            for path in sorted((root / layer).iterdir()):
                link = target / layer / f"{name}-{path.name}"
                link.unlink(missing_ok=True)
                os.link(path, link)
                if layer == "sar":
                    keys[_part(name, path.stem, drawn)].append(link.stem)
    description = yaml.safe_load((parts[0][1] / "dataset.yaml").read_text())
    description |= {"name": "simulated places of one band", "licence": LICENCE}
    (target / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    train, validation, test = (tuple(keys[part]) for part in ("train", "validation", "test"))
    split = Split(train, validation, test, definition="by number of place; towns train only")
    write_split(split, target / "split.csv")  # last: a folder that has it is whole
    return target


def _part(name: str, chip: str, drawn: int) -> str:
    if name != "drawn":
        return "train"
    left = drawn - int(chip.removeprefix("place").split("_")[0])
    if left <= TEST_PLACES:
        return "test"
    return "validation" if left <= TEST_PLACES + VALIDATION_PLACES else "train"
