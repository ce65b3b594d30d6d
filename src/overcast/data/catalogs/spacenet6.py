"""SpaceNet 6 (MSAW, Rotterdam): the folder layout as a catalog, and its tile corners without the imagery.

Reference: Shermeyer et al., SpaceNet 6: Multi-Sensor All Weather Mapping Dataset, CVPRW 2020.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, assert_never

from overcast.data.catalog import Catalog
from overcast.data.catalogs.layout import folders_with, some
from overcast.data.chips import Bounds, Chip, check_chip
from overcast.data.labels import LabelSpec
from overcast.data.naming import unpacked
from overcast.errors import InputError
from overcast.raster.radiometry import RadarSide, Radiometry, SensorRadiometry, Unit
from overcast.reading import first_line, quoted, read_table, read_text

OpticalLayer = Literal["PS-RGB", "PS-RGBNIR", "RGBNIR"]
Subset = Literal["train", "test_public"]

TILES, STRIPS = 3401, 204
"""Published number of training tiles, and of the strips that they were cut from."""
TILE_M = 450.0
"""Side of a tile: 900 pixels of 0.5 m."""
TILE_CRS = "EPSG:32631"
TILE_NAME = re.compile(r"^SN6_(Train|Test_Public)_AOI_11_Rotterdam_[^_]+_(\d+_\d+)_(tile_\d+)\.(?:tif|geojson)$")
ARCHIVE = "s3://spacenet-dataset/spacenet/SN6_buildings/tarballs/SN6_buildings_AOI_11_Rotterdam_{subset}.tar.gz"


@dataclass(frozen=True)
class TileCorner:
    """Where a training tile lies: enough to split and to check for leaks."""

    key: str
    """`<t0>_<t1>_tile_<id>`, the key of the chip in the catalog."""
    x: float
    """Left edge, metres east in EPSG:32631."""
    y: float
    """Top edge, metres north."""
    rotate_180: bool = False

    @property
    def bounds(self) -> Bounds:
        """The 450 m square below and to the right of the corner."""
        return Bounds(self.x, self.y - TILE_M, self.x + TILE_M, self.y, TILE_CRS)

    @property
    def place(self) -> str:
        """The 450 m cell that holds the tile's centre."""
        return cell(self.x, self.y)


def cell(x: float, y: float) -> str:
    """Name of the 450 m cell that holds the centre of the tile with this upper left corner.

    The 3401 training tiles (about 17 visits to each place) lie in 198 cells.

    >>> cell(592953.6, 5748640.6)
    'e1318n12774'
    """
    east, north = (math.floor(centre / TILE_M) for centre in (x + TILE_M / 2, y - TILE_M / 2))
    return f"e{east}n{north}"


def tiles_from_csv(path: Path) -> tuple[TileCorner, ...]:
    """Tile corners from a table with the columns ImageId, x, y and, if known, rotation (0 or 1).

    Raises:
        InputError: The file is missing or empty, lacks a column, repeats a tile, or a line cannot be read.
    """
    rows = read_table(path, InputError, ("ImageId", "x", "y"), "write ImageId,rotation,x,y")
    tiles = tuple(_corner(path, row.line, row.cells) for row in rows)
    if not tiles:
        raise InputError(f"{path} lists no tile; write one ImageId,rotation,x,y on each line.")
    seen: set[str] = set()
    for tile in tiles:
        if tile.key in seen:
            raise InputError(f"{path} lists the tile {tile.key} twice; remove one of the lines.")
        seen.add(tile.key)
    return tiles


def _corner(path: Path, line: int, row: Mapping[str, str]) -> TileCorner:
    try:
        tile = TileCorner(row["ImageId"], float(row["x"]), float(row["y"]), bool(int(row.get("rotation") or 0)))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} line {line} cannot be read ({first_line(error)}); write ImageId,rotation,x,y."
        ) from error
    if not (tile.key and math.isfinite(tile.x) and math.isfinite(tile.y)):
        raise InputError(f"{path} line {line} has no tile name or no finite corner; write ImageId,rotation,x,y.")
    return tile


def corners_of(chips: Iterable[Chip]) -> tuple[TileCorner, ...]:
    """Tile corners of the catalog's chips. Raises InputError for chips without georeference (test_public)."""
    corners = []
    for chip in chips:
        if chip.bounds is None:
            raise InputError(f"chip {chip.key} has no georeference; only the training tiles can be split by ground.")
        corners.append(TileCorner(chip.key, chip.bounds.left, chip.bounds.top, chip.rotate_180))
    return tuple(corners)


def spacenet6_radiometry(optical: OpticalLayer | None) -> Radiometry:
    """What the pixels mean.

    SAR: log-scaled digital numbers, 0 to about 93, black wedges of 0 outside the swath; not calibrated (the
    cross-polarised bands are the brighter ones), so never sigma nought. Strips were imaged from the north (flag 0) or
    from the south (flag 1; `readrotationfile` of the organisers' baseline says which is which). Once those of flag 1
    are rotated by 180 degrees, the radar stands on the upper, northern side of every image.
    """
    sar = SensorRadiometry(
        bands=("HH", "HV", "VH", "VV"),
        unit=Unit.DIGITAL_NUMBER,
        nodata=0,
        gsd_m=0.5,
        radar_side=RadarSide.NORTH,
    )
    colours = ("red", "green", "blue")
    bands: tuple[str, ...]
    match optical:
        case None:
            return Radiometry(sar=sar)
        case "PS-RGB":
            bands, gsd_m = colours, 0.5
        case "PS-RGBNIR":
            bands, gsd_m = (*colours, "nir"), 0.5
        case "RGBNIR":
            bands, gsd_m = (*colours, "nir"), 2.0
        case _:
            assert_never(optical)
    return Radiometry(sar=sar, optical=SensorRadiometry(bands=bands, unit=Unit.DIGITAL_NUMBER, nodata=0, gsd_m=gsd_m))


def spacenet6_catalog(
    root: Path, optical: OpticalLayer | None = "PS-RGB", subset: Subset = "train", orientations: Path | None = None
) -> Catalog:
    """Chips of an unpacked SpaceNet 6 archive.

    Args:
        root: The folder `AOI_11_Rotterdam` or any folder up to four levels above it.
        optical: Optical layer; None for SAR alone. RGBNIR is not pansharpened: its 2 m pixels must have been
            resampled to the grid of the SAR tiles (the error names the command).
        subset: `test_public` holds SAR alone, without labels and without georeference: its chips have neither.
        orientations: SAR_orientations.txt, where it does not lie in a `SummaryData` below `root`.

    Raises:
        InputError: No or several such folders; layers or tiles are missing (one error lists them all); a file is
            damaged, of another band count or on another grid.
    """
    folders = list(folders_with(root, "SAR-Intensity"))
    aoi = choose_folder(root, folders, subset)
    match subset:
        case "train":
            layers = {"SAR-Intensity": ".tif", "geojson_buildings": ".geojson"}
            layers |= {optical: ".tif"} if optical else {}
        case "test_public":
            layers, optical = {"SAR-Intensity": ".tif"}, None
        case _:
            assert_never(subset)
    files = {layer: tiles_in(aoi / layer, suffix) for layer, suffix in layers.items()}
    flags = read_orientations(orientations or _find_orientations(aoi, folders))
    _require_complete(aoi, files, flags, subset)
    radiometry = spacenet6_radiometry(optical)
    return Catalog(
        name="spacenet6" if subset == "train" else "spacenet6-test-public",
        class_name="building",
        chips=tuple(
            _on_ground(_chip(key, files, optical, flags), radiometry) for key in sorted(files["SAR-Intensity"])
        ),
        radiometry=radiometry,
        label=LabelSpec(),
        licence="CC-BY-SA-4.0",
    )


def _chip(key: str, files: Mapping[str, Mapping[str, Path]], optical: str | None, flags: Mapping[str, bool]) -> Chip:
    strip = _strip(key)
    return Chip(
        key=key,
        place=strip,
        sar=(files["SAR-Intensity"][key],),
        optical=(files[optical][key],) if optical else (),
        footprints=files.get("geojson_buildings", {}).get(key),
        rotate_180=flags[strip],
    )


def _on_ground(chip: Chip, radiometry: Radiometry) -> Chip:
    """The chip with bounds and cell from its geotransform, after its headers have been checked."""
    bounds = Bounds.of(check_chip(chip, radiometry))
    return chip if bounds is None else replace(chip, bounds=bounds, place=cell(bounds.left, bounds.top))


def _strip(key: str) -> str:
    return key.partition("_tile_")[0]


def choose_folder(root: Path, folders: Sequence[Path], subset: Subset) -> Path:
    """The one folder that holds the wanted subset. Raises InputError where there are none or several."""
    wanted = {"train": "Train", "test_public": "Test_Public"}[subset]
    archive = ARCHIVE.format(subset=subset)
    found = [folder for folder in folders if wanted in _subsets_in(folder)]
    if len(found) > 1:
        raise InputError(f"{root} holds several SpaceNet 6 folders ({', '.join(map(str, found))}); name one of them.")
    if not found:
        others = f", only {', '.join(map(str, folders))}" if folders else ""
        raise InputError(
            f"{root} holds no folder with SAR-Intensity/SN6_{wanted}_*.tif{others}; "
            f"download {archive} and unpack it there."
        )
    return found[0]


def _subsets_in(folder: Path) -> set[str]:
    names = (TILE_NAME.match(file.name) for file in (folder / "SAR-Intensity").iterdir())
    return {name[1] for name in names if name}


def tiles_in(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of a layer by tile key; none where the folder is missing."""
    if not folder.is_dir():
        return {}
    files = [file for file in unpacked(folder, {suffix}).iterdir() if file.suffix == suffix]
    names = [(TILE_NAME.match(file.name), file) for file in files]
    return {f"{name[2]}_{name[3]}": file for name, file in names if name}


def _find_orientations(aoi: Path, folders: Sequence[Path]) -> Path:
    """SAR_orientations.txt of the folder itself, or of the training folder beside it."""
    candidates = [folder / "SummaryData" / "SAR_orientations.txt" for folder in (aoi, *folders)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"{candidates[0]} is missing, so nobody knows from which side each strip was imaged; "
        f"take it from {ARCHIVE.format(subset='train')} or name the file."
    )


def read_orientations(path: Path) -> dict[str, bool]:
    """Strip `<t0>_<t1>` to whether its tiles are rotated. Raises InputError that names the line it cannot read."""
    flags: dict[str, bool] = {}
    for number, line in enumerate(read_text(path, InputError, "copy it again").splitlines(), start=1):
        if not line.strip():
            continue
        match line.split():
            case [strip, "0" | "1" as flag]:
                flags[strip] = flag == "1"
            case _:
                raise InputError(f"{path} line {number} is {quoted(line)}, not '<t0>_<t1> <0|1>'; copy the file again.")
    return flags


def _require_complete(
    aoi: Path, files: Mapping[str, Mapping[str, Path]], flags: Mapping[str, bool], subset: Subset
) -> None:
    """Raise one InputError that lists what every layer lacks."""
    every = set().union(*files.values())
    lacks = []
    for layer, found in files.items():
        missing = sorted(every - set(found))
        if missing:
            lacks.append(f"{layer} lacks {len(missing)} of {len(every)} tiles ({some(missing)})")
    strips = sorted({_strip(key) for key in every} - set(flags))
    if strips:
        lacks.append(f"SAR_orientations.txt lacks {len(strips)} strips ({some(strips)})")
    if lacks:
        raise InputError(
            f"{aoi} is incomplete: {'; '.join(lacks)}; download {ARCHIVE.format(subset=subset)} and unpack it again."
        )
