"""A first description of what lies in a folder, with everything that only its owner knows left open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from overcast.data.catalogs.folder import DESCRIPTION_NAME, RASTER_ENDINGS, VECTOR_ENDINGS
from overcast.data.catalogs.layout import files_by_stem
from overcast.data.scenes.found import FoundFile, Role, find_files, group_by_place
from overcast.data.stated import OPEN
from overcast.errors import InputError

SCENES_NAME = "scenes.yaml"
UNITS = "linear_power, amplitude, dB or digital_number"
SAR_FOLDERS = frozenset({"sar", "radar", "s1", "vv", "vh", "hh", "hv", "sar_images", "post-event"})
OPTICAL_FOLDERS = frozenset({"optical", "rgb", "s2", "ortho", "rgb_images", "pre-event"})
LABEL_FOLDERS = frozenset({"mask", "masks", "label", "labels", "footprints", "gt", "target"})


def draft_description(root: Path) -> tuple[Path, str]:
    """Where the description of a folder belongs, and its text: of matched chips, else of scenes.

    Files are sorted by their names and headers; units, the radar's side and the licence are left open.

    Raises:
        InputError: The folder does not exist or holds neither, or has a description already.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; name the one that holds the images.")
    lines = list(_of_chips(root))
    path = root / (DESCRIPTION_NAME if lines else SCENES_NAME)
    if path.exists():
        raise InputError(f"{path} exists already; correct it, or remove it first.")
    if not lines:
        files = find_files(root)
        if not any(file.role in {Role.SAR, Role.OPTICAL} for file in files):
            raise InputError(
                f"{root} holds no image with a coordinate reference system; name the folder of the images."
            )
        lines = list(_of_scenes(root, files))
    return path, "\n".join(lines) + "\n"


def _head(root: Path, what: str) -> list[str]:
    return [
        f"# {what}, drafted from the names and headers in {root.name}. Replace every {OPEN}, and check the rest.",
        f"name: {json.dumps(root.resolve().name)}",
        "class_name: building",
        f"licence: {OPEN}  # SPDX identifier such as CC-BY-4.0, or the words of the publisher",
    ]


def _of_chips(root: Path) -> Iterator[str]:
    """A description of sub-folders with files of the same names; nothing where there are none."""
    endings = RASTER_ENDINGS | VECTOR_ENDINGS
    folders = {path.name: set(files_by_stem(path, endings)) for path in sorted(root.iterdir()) if path.is_dir()}
    sar, optical, label = (
        [name for name in folders if name.lower() in known and folders[name]]
        for known in (SAR_FOLDERS, OPTICAL_FOLDERS, LABEL_FOLDERS)
    )
    if not sar or len(folders[sar[0]]) < 2 or not any(folders[sar[0]] & folders[name] for name in (*optical, *label)):
        return
    yield from _head(root, "Chips with matching names")
    yield "sar:"
    yield f"  folders: {json.dumps(sar)}"
    yield from _sensor(_first(root, sar), radar=True)
    if optical:
        yield "optical:"
        yield f"  folders: {json.dumps(optical)}"
        yield from _sensor(_first(root, optical), radar=False)
    if label:
        yield "label:"
        yield f"  folder: {label[0]}"
        yield "  foreground: 1  # mask value of the class; vector files need no values"
        yield "  background: 0"
        yield "  # ignore: 255  # mask value of pixels that do not count"
    yield "# place_pattern: '^(?P<place>.+)_[0-9]+$'  # what in a file name says which ground it shows"


def _first(root: Path, folders: Sequence[str]) -> list[FoundFile]:
    """The first readable image of each folder."""
    found = (find_files(root / name) for name in folders)
    return [files[0] for files in found if files]


def _sensor(files: Sequence[FoundFile], *, radar: bool, gsd: bool = True) -> Iterator[str]:
    bands = [band for file in files for band in file.bands]
    named = bool(bands) and not any(band.startswith("band") for band in bands)
    how = (
        "polarisations in file order, such as [VV, VH]" if radar else "names in file order, such as [red, green, blue]"
    )
    yield f"  bands: {json.dumps(bands) if named else OPEN}  # {how}"
    yield f"  unit: {OPEN}  # {UNITS}"
    nodata = next((file.nodata for file in files if file.nodata is not None), None)
    yield f"  nodata: {'null' if nodata is None else f'{nodata:g}'}  # value without data; null: none but NaN"
    if gsd:
        size = next((f"{file.grid.gsd_m:g}" for file in files if file.grid is not None), OPEN)
        yield f"  gsd_m: {size}  # metres per pixel"
    if radar:
        yield f"  radar_side: {OPEN}  # where the radar stood: north, east, south or west; null if unknown"


def _of_scenes(root: Path, files: Sequence[FoundFile]) -> Iterator[str]:
    yield from _head(root, "Scenes")
    yield "# grid: {gsd_m: 0.5}  # pixel size to which everything is brought; default: that of the SAR images"
    radar, optical = ([file for file in files if file.role is role] for role in (Role.SAR, Role.OPTICAL))
    places = list(group_by_place(files))
    yield "sar:"
    yield from _sensor([file for file in places[0] if file.role is Role.SAR] or radar[:1], radar=True, gsd=False)
    if optical:
        yield "optical:"
        yield from _sensor(optical[:1], radar=False, gsd=False)
    yield "places:"
    for number, place in enumerate(places, start=1):
        yield f"  place{number}:"
        for role in Role:
            yield from _entry(root, role, [file for file in place if file.role is role])


def _entry(root: Path, role: Role, files: Sequence[FoundFile]) -> Iterator[str]:
    if not files:
        return
    names = [file.path.relative_to(root).as_posix() for file in files]
    several = role in {Role.SAR, Role.OPTICAL}
    yield f"    {role}: {json.dumps(names if several else names[0])}  # {files[0].about}"
    if not several and len(files) > 1:
        yield f"    # of the same ground too: {', '.join(names[1:])}"
