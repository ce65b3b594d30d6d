"""Miniatures of DFC2023, OpenEarthMap-SAR and BRIGHT: file names, folders, data types, band counts; 32 px tiles."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from raster_files import write_tiff
from rasterio.errors import NotGeoreferencedWarning

SIDE_PX = 32
Pixels = NDArray[np.uint8]

# DFC2023 ----------------------------------------------------------------------------------------------------------

BERLIN, COPENHAGEN = "EPSG:32633", "EPSG:32632"
DFC_TILES: Mapping[str, tuple[float, float, str]] = {
    "SV_Berlin_52.4900_13.4933": (397700.0, 5816700.0, BERLIN),
    "GF2_Berlin_52.4901_13.4934": (397708.0, 5816700.0, BERLIN),  # overlaps the first by half
    "SV_Berlin_52.5100_13.6000": (404900.0, 5818800.0, BERLIN),
    "SV_Copenhagen_55.6770_12.5319": (722000.0, 6175600.0, COPENHAGEN),
    "SV_NewYork_40.7388_-74.0108": (583500.0, 4510200.0, "EPSG:32618"),
}
"""Upper left corner and CRS of every training tile."""
POLYGON = [4.0, 6.0, 20.0, 6.0, 20.0, 10.0, 4.0, 10.0]
"""Columns 4 to 20, rows 6 to 10."""


def write_dfc2023(root: Path, *, annotations: str = "track2", subsets: Sequence[str] = ("val",)) -> Path:
    """The folder track2 with its training tiles and the unlabelled ones of other subsets."""
    folder, rng = root / "track2", np.random.default_rng(23)
    for tile, (left, top, crs) in DFC_TILES.items():
        transform = Affine(0.5, 0, left, 0, -0.5, top)
        rgb, heavy = rng.integers(0, 256, (3, SIDE_PX, SIDE_PX), np.uint8), rng.pareto(2.0, (1, SIDE_PX, SIDE_PX))
        write_tiff(folder / "train" / "rgb" / f"{tile}.tif", rgb, transform, crs)
        write_tiff(folder / "train" / "sar" / f"{tile}.tif", heavy.astype(np.float32), transform, crs)
        write_tiff(folder / "train" / "dsm" / f"{tile}.tif", np.zeros((SIDE_PX, SIDE_PX), np.float32), transform, crs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # which is the point
        for subset in subsets:
            rgb, heavy = np.full((3, SIDE_PX, SIDE_PX), 7, np.uint8), np.ones((1, SIDE_PX, SIDE_PX), np.float32)
            write_tiff(folder / subset / "rgb" / "P_0001.tif", rgb, Affine.identity(), None)
            write_tiff(folder / subset / "sar" / "P_0001.tif", heavy, Affine.identity(), None)
    path = root / annotations / "buildings_only_train.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dfc2023_coco()))
    return folder


def dfc2023_coco() -> dict[str, Any]:
    """A polygon, run-length codes in both forms and in a list, a degenerate polygon, and an image without any."""
    tiles = list(DFC_TILES)
    images = [
        {"id": i, "file_name": f"{tile}.tif", "height": SIDE_PX, "width": SIDE_PX} for i, tile in enumerate(tiles, 1)
    ]
    size = [SIDE_PX, SIDE_PX]
    compressed = {"size": size, "counts": compress(runs_of(block_mask()))}
    segmentations: list[tuple[int, Any]] = [
        (1, [POLYGON, [24.0, 24.0, 28.0, 24.0, 28.0, 28.0, 24.0, 28.0]]),  # two polygons of one building
        (2, {"size": size, "counts": runs_of(block_mask())}),
        (3, compressed),
        (3, [POLYGON]),
        (4, [compressed]),
        (4, [[1.0, 1.0, 2.0, 2.0]]),
    ]
    annotations = [
        {"id": i, "image_id": image, "category_id": 1, "iscrowd": 0, "segmentation": segmentation}
        for i, (image, segmentation) in enumerate(segmentations, 1)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]}


def block_mask() -> Pixels:
    """A building with a courtyard at the right edge, which no polygon of COCO can say."""
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    mask[12:20, 22:32] = 1
    mask[14:17, 25:28] = 0
    return mask


def runs_of(mask: Pixels) -> list[int]:
    """Run lengths in column-major order, background first."""
    flat = mask.ravel(order="F").astype(int)
    starts = np.flatnonzero(np.diff(flat, prepend=0))
    return np.diff([0, *starts.tolist(), len(flat)]).tolist()


def compress(counts: Sequence[int]) -> str:
    """The text form, written from the description of the COCO API (rleToString)."""
    text = ""
    for index, count in enumerate(counts):
        number = count - counts[index - 2] if index > 2 else count
        while True:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
            if not more:
                break
    return text


# OpenEarthMap-SAR -------------------------------------------------------------------------------------------------

OEM_REGIONS = {"Tokyo": (139.70, 35.69), "Osaka": (135.43, 34.65), "Nantes": (-1.55, 47.22), "Miami": (-80.19, 25.77)}
OEM_EMPTY = "TrainArea_005.tif"
"""A tile without a building."""
STEP_DEG = 4e-6


def write_openearthmap_sar(root: Path, *, manual: bool = True) -> Path:
    """Two training tiles of each region; one of val and one of test, SAR alone, with labels in folders of their own."""
    rng = np.random.default_rng(25)
    for number, (lon, lat) in enumerate(OEM_REGIONS.values()):
        for tile in range(2):
            name = f"TrainArea_{2 * number + tile:03d}.tif"
            at = Affine(STEP_DEG, 0, lon + tile * 0.001, 0, -STEP_DEG, lat)
            train = root / "dfc25_track1_trainval" / "train"
            write_tiff(
                train / "rgb_images" / name, rng.integers(0, 256, (3, SIDE_PX, SIDE_PX), np.uint8), at, "EPSG:4326"
            )
            write_tiff(train / "sar_images" / name, rng.integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8), at, "EPSG:4326")
            _write_classes(train / "labels" / name, empty=name == OEM_EMPTY)
        for subset, shift in (("val", 0.002), ("test", 0.003)):
            name = f"{subset.title()}Area_{number:03d}.tif"
            at = Affine(STEP_DEG, 0, lon + shift, 0, -STEP_DEG, lat)
            radar = rng.integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8)
            write_tiff(root / f"dfc25_track1_{subset}" / subset / "sar_images" / name, radar, at, "EPSG:4326")
            if manual:
                _write_classes(root / f"dfc25_track1_{subset}_labels" / subset / "labels" / name)
    return root


def land_cover() -> Pixels:
    """Columns 0 to 16 the seven classes of the background, then building, and no class in the last."""
    row = np.concatenate([np.arange(16) % 7 + 1, np.full(SIDE_PX - 17, 8), [0]])
    return np.tile(row.astype(np.uint8), (SIDE_PX, 1))


def _write_classes(path: Path, *, empty: bool = False) -> None:
    classes = land_cover()
    if empty:
        classes[classes == 8] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # as published
        write_tiff(path, classes, Affine.identity(), None)


# BRIGHT -----------------------------------------------------------------------------------------------------------

BRIGHT_EVENTS: Mapping[str, tuple[float, float, float, str]] = {
    "bata-explosion": (9.796, 1.846, 4.57e-6, "EPSG:4326"),
    "la_palma-volcano": (215000.0, 3170000.0, 0.3, "EPSG:32628"),
    "libya-flood": (22.64, 32.76, 3.2e-6, "EPSG:4326"),
    "turkey-earthquake": (37.00, 37.20, 3.0e-6, "EPSG:4326"),
    "ukraine-conflict": (400000.0, 5215000.0, 0.35, "EPSG:32637"),
}
"""Corner, pixel size and CRS of every event."""


def write_bright(root: Path, *, optical_of_ukraine: bool = False) -> Path:
    """Two tiles of every event, as the full release lays them out; one tile has an empty label."""
    rng = np.random.default_rng(14)
    for event, (left, top, step, crs) in BRIGHT_EVENTS.items():
        for number in range(2):
            name, at = f"{event}_{number:08d}", Affine(step, 0, left + number * 40 * step, 0, -step, top)
            radar, rgb = rng.integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8), rng.integers(0, 256, (3, SIDE_PX, SIDE_PX))
            write_tiff(root / "post-event" / f"{name}_post_disaster.tif", radar, at, crs)
            if event != "ukraine-conflict" or optical_of_ukraine:
                write_tiff(root / "pre-event" / f"{name}_pre_disaster.tif", rgb.astype(np.uint8), at, crs)
            damage = damage_mask() if number == 0 else np.zeros((SIDE_PX, SIDE_PX), np.uint8)
            write_tiff(root / "target" / f"{name}_building_damage.tif", damage, at, crs)
    return root


def damage_mask() -> Pixels:
    """Rows 0 to 8 background, then intact, damaged and destroyed, eight rows each."""
    return np.repeat(np.arange(4, dtype=np.uint8), SIDE_PX // 4)[:, None] * np.ones(SIDE_PX, np.uint8)
