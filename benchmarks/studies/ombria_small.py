"""OMBRIA at 40 m, small enough for two CPU cores: chips of 64 px that show what those of 256 px at 10 m show.

    python -m benchmarks.studies.ombria_small --data /path/to/ombria --output data/ombria-40m
    overcast benchmark configs/benchmark/ombria-40m.yaml --output runs/ombria-40m --at-once 2
    python -m benchmarks.studies.ombria_small --data /path/to/ombria --output data/ombria-40m-events --test events2021

Every 4 x 4 pixels become one: the mean of the digital numbers (those that mark nodata left out; nodata where fewer
than half remain), flooded where half or more of them are. The parts are those of configs/ombria.yaml: the published
test folder, and validation drawn by mosaic found at full size; the mosaic is part of a chip's name. The two sensors
are registered to about 2 px of 10 m, which is half a pixel here. With `--test events2021` the test part is the four
floods of 2021, each a place. Nothing is written outside OUTPUT.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
import yaml
from benchmarks.limits import as_command, existing
from numpy.typing import NDArray
from rich.progress import track

from overcast.config import load_config
from overcast.config.data import DataOptions, FolderData, build_data
from overcast.data.catalogs.folder import DESCRIPTION_NAME
from overcast.data.chips import Chip
from overcast.data.splits.file import write_split
from overcast.data.splits.leaks import require_clean_split
from overcast.data.splits.parts import Part, Split
from overcast.errors import InputError

CONFIG = Path("configs/ombria.yaml")
FACTOR = 4
NODATA = 255
FLOODED = 255
FOLDERS = ("s1_before", "s1_after", "s2_after", "mask")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=existing, required=True, help="folder with train/ and test/")
    parser.add_argument("--test", choices=["test", "events2021"], default="test", help="folder of the test part")
    parser.add_argument("--output", type=Path, required=True, help="folder of the small data set")
    arguments = parser.parse_args()
    if arguments.output.exists():
        raise InputError(f"{arguments.output} exists; remove it or choose another folder.")
    config = load_config(CONFIG, [f"data.root={arguments.data}", f"data.split.test={arguments.test}"])
    catalog, split = build_data(config.data)
    require_clean_split(split, catalog.chips)
    beside = arguments.output.with_name(f".{arguments.output.name}.tmp")
    names = names_of(catalog.chips)
    for chip in track(catalog.chips, description="chips"):
        for folder, path in zip(FOLDERS, files_of(chip), strict=True):
            write_small(path, beside / folder / f"{names[chip.key]}.tif", folder)
    (beside / DESCRIPTION_NAME).write_text(yaml.safe_dump(description(config.data), sort_keys=False))
    write_split(renamed(split, names), beside / "split.json")
    beside.rename(arguments.output)
    print({part.value: len(split.keys(part)) for part in Part})


def names_of(chips: tuple[Chip, ...]) -> dict[str, str]:
    """Key to a name that holds part, place and number of the chip: train-012-0345, events2021-albania-0001.

    A place is an event where the file names it, else the number of the mosaic.
    """
    places = {place: number for number, place in enumerate(sorted({chip.place for chip in chips}))}
    names = {}
    for chip in chips:
        folder, file = chip.key.split("/")
        names[chip.key] = f"{folder}-{file}" if "-" in file else f"{folder}-{places[chip.place]:03d}-{file}"
    return names


def files_of(chip: Chip) -> tuple[Path, ...]:
    """In the order of FOLDERS."""
    assert chip.mask is not None
    return (*chip.sar, *chip.optical, chip.mask)


def write_small(source: Path, target: Path, folder: str) -> None:
    with rasterio.open(source) as image:
        pixels = image.read().astype(np.float32)
    count, height, width = pixels.shape
    blocks = pixels.reshape(count, height // FACTOR, FACTOR, width // FACTOR, FACTOR)
    small = reduced(blocks, folder).astype(np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": count, "height": small.shape[1], "width": small.shape[2], "dtype": "uint8"}
    with rasterio.open(target, "w", **profile, compress="deflate") as sink:
        sink.write(small)


def reduced(blocks: NDArray[np.float32], folder: str) -> NDArray[np.float32]:
    """(C, h, 4, w, 4) to (C, h, w)."""
    if folder == "mask":
        share = (blocks == FLOODED).mean((2, 4))
        return np.where(share >= 0.5, FLOODED, 0).astype(np.float32)
    if folder == "s2_after":
        return np.asarray(np.round(blocks.mean((2, 4))))
    seen = blocks != NODATA
    count = seen.sum((2, 4))
    mean = np.where(seen, blocks, 0).sum((2, 4)) / np.maximum(count, 1)
    return np.where(count * 2 >= FACTOR**2, np.minimum(np.round(mean), NODATA - 1), NODATA).astype(np.float32)


def description(full: DataOptions) -> dict[str, object]:
    """That of the full data set at its smaller size."""
    assert isinstance(full, FolderData)
    assert full.description is not None
    content = yaml.safe_load(full.description.read_text(encoding="utf-8"))
    content["name"] = f"{content['name']} at {FACTOR * content['sar']['gsd_m']} m"
    for sensor in ("sar", "optical"):
        content[sensor]["gsd_m"] *= FACTOR
    return {**content, "place_pattern": r"(?P<place>[a-z]+\d*-[a-z0-9]+)-"}


def renamed(split: Split, names: dict[str, str]) -> Split:
    train, validation, test = ([names[key] for key in split.keys(part)] for part in Part)
    return Split(tuple(train), tuple(validation), tuple(test), definition=f"{split.definition}; chips reduced")


if __name__ == "__main__":
    as_command(main)
