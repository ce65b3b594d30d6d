"""A paired folder: sub-folders of SAR images, optical images and masks or footprints, matched by file name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from overcast.data.catalog import Catalog
from overcast.data.chips import Bounds, Chip, InvalidMask
from overcast.data.grids import checked_grids
from overcast.data.labels import LabelSpec, area_file
from overcast.data.orientation import oriented, read_orientations
from overcast.data.partners import files_by_name, require_images, require_partners
from overcast.data.patterns import check_pattern, search_names
from overcast.data.stated import Stated
from overcast.errors import InputError
from overcast.raster.radiometry import Radiometry, SensorRadiometry
from overcast.reading import quoted, read_yaml
from overcast.reading.records import explained_detail, location
from overcast.section import Section

LISTED_ERRORS, LISTED_LENGTH = 4, 240
"""How many errors of a description are reported at once, and characters that they may take together."""
DESCRIPTION_NAME = "dataset.yaml"
RASTER_ENDINGS = frozenset({".tif", ".tiff", ".png"})
VECTOR_ENDINGS = frozenset({".geojson", ".gpkg", ".json"})


def _name(text: str) -> str:
    if not text.isprintable() or any(len(os.fsencode(part)) > 255 for part in text.split("/")):
        raise ValueError("is no name of a file or folder")
    return text


FolderName = Annotated[str, AfterValidator(_name)]
"""Name of a sub-folder or a file in it."""


class SensorFolders(SensorRadiometry):
    """Where the images of one sensor lie, and what their pixels mean."""

    folders: tuple[FolderName, ...] = Field(min_length=1)
    """Sub-folders with one file per chip each; the bands of several are stacked in this order."""

    @property
    def radiometry(self) -> SensorRadiometry:
        """The meaning of the pixels alone."""
        return SensorRadiometry.model_validate(self.model_dump(include=set(SensorRadiometry.model_fields)))


class SarFolders(SensorFolders):
    """Folders of the radar, which may have seen chips from two opposite sides."""

    orientations: FolderName | None = None
    """CSV with key,radar_side of each chip, beside the sub-folders: chips seen from the side opposite to the
    declared radar_side are turned by 180 degrees on reading."""

    @model_validator(mode="after")
    def _names_a_side(self) -> SarFolders:
        if self.orientations is not None and self.radar_side is None:
            raise ValueError("orientations needs radar_side, the side from which all chips are to be seen")
        return self


class InvalidFolder(Section):
    """Masks of optical pixels that show no ground."""

    folder: FolderName
    """Sub-folder with one mask (GeoTIFF, PNG) per chip."""
    values: tuple[int, ...] = Field(min_length=1)
    """Mask values that mean cloud, cloud shadow or anything else that hides the ground."""


class OpticalFolders(SensorFolders):
    """Folders of the optical sensor, which clouds may blind."""

    invalid: InvalidFolder | None = None
    """Masks of pixels that count as missing; None: the images' nodata alone says so."""


class LabelFolder(Section):
    """Where masks or vector footprints lie, and which mask values mean what."""

    folder: FolderName
    """Sub-folder with one mask (GeoTIFF, PNG) or one vector file (GeoPackage, GeoJSON) per chip."""
    foreground: int = 1
    """Mask value of the class."""
    background: int = 0
    ignore: int | None = None
    """Mask value of pixels that do not count."""
    labelled_area: str | None = None
    """Vector file beside the sub-folders: the ground on which labels are complete. Elsewhere they do not count; without
    it vector footprints make the rest of every chip background."""

    @property
    def spec(self) -> LabelSpec:
        """The meaning of the mask values alone."""
        return LabelSpec(self.foreground, self.background, self.ignore)

    @model_validator(mode="after")
    def _distinct(self) -> LabelFolder:
        assert self.spec.values, "building the specification refuses equal values"
        return self


class FolderDescription(Section):
    """What `dataset.yaml` says."""

    name: str
    class_name: str
    """What the foreground is: building, water, ..."""
    licence: Stated
    """SPDX identifier, or the words of the publisher."""
    sar: SarFolders
    optical: OpticalFolders | None = None
    label: LabelFolder | None = None
    """None for images without truth."""
    simulated: bool = False
    """True where the images were computed, not measured; models trained on them say so in their card."""
    incomplete: bool = False
    """True where a chip may lack its SAR image, its optical image or its label: training then uses what is there."""
    place_pattern: str | None = None
    """Regular expression with a group `place`, matched against a chip's name; without it each chip is its own place."""

    @field_validator("place_pattern")
    @classmethod
    def _names_place(cls, pattern: str | None) -> str | None:
        return None if pattern is None else check_pattern(pattern, "place")


def read_description(path: Path) -> FolderDescription:
    """Read a description file. Raises InputError that names the file, the key and what is wrong with it."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; describe the data set there or name its description file.")
    content = read_yaml(path, InputError)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no keys; describe name, class_name, licence, sar, optical and label.")
    try:
        return FolderDescription.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{path}: {_listed([_explain(found) for found in error.errors(include_url=False)])}."
        ) from error


def _listed(sentences: Sequence[str]) -> str:
    """As many of the errors as fit, the first in any case, and how many more there are."""
    shown = list(sentences[:LISTED_ERRORS])
    while len(shown) > 1 and len("; ".join(shown)) > LISTED_LENGTH:
        shown.pop()
    more = f"; and {len(sentences) - len(shown)} more" if len(shown) < len(sentences) else ""
    return "; ".join(shown) + more


def _explain(details: ErrorDetails) -> str:
    if details["type"] != "extra_forbidden":
        return explained_detail(details)
    key = location(details)
    model: type[BaseModel] = FolderDescription
    match details["loc"][0]:
        case "sar" if len(details["loc"]) > 1:
            model = SarFolders
        case "optical" if len(details["loc"]) > 1:
            model = InvalidFolder if "invalid" in details["loc"][1:-1] else OpticalFolders
        case "label" if len(details["loc"]) > 1:
            model = LabelFolder
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(details["loc"][-1]), known, n=1)
    return f"{key} is not a known key; " + (f"did you mean {near[0]}" if near else f"known are {', '.join(known)}")


def folder_catalog(
    root: Path, description: FolderDescription | Path | None = None, subset: str | None = None
) -> Catalog:
    """The catalog of a paired folder.

    Every file's header is read: sizes, band counts and grids are checked before any training starts.

    Args:
        root: Folder that holds the sub-folders, or the subsets that hold them.
        description: The description or its file; by default `dataset.yaml` in `root`.
        subset: Sub-root such as `train`; chip keys are then `train/<name>`.

    Raises:
        InputError: Something is missing, unmatched, unreadable or on different grids.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; check the path.")
    if not isinstance(description, FolderDescription):
        description = read_description(description or root / DESCRIPTION_NAME)
    base = root if subset is None else root / subset
    optical = description.optical.radiometry if description.optical else None
    radiometry = Radiometry(sar=description.sar.radiometry, optical=optical)
    chips = tuple(_chips(base, description, f"{subset}/" if subset else ""))
    grids = checked_grids(chips, radiometry)
    chips, sar = oriented(chips, grids, radiometry.sar)
    return Catalog(
        name=description.name,
        class_name=description.class_name,
        chips=tuple(replace(chip, bounds=Bounds.of(grid)) for chip, grid in zip(chips, grids, strict=True)),
        radiometry=Radiometry(sar=sar, optical=optical),
        label=description.label.spec if description.label else LabelSpec(),
        licence=description.licence,
        simulated=description.simulated,
    )


def _chips(base: Path, description: FolderDescription, prefix: str) -> Iterator[Chip]:
    optical_folders = description.optical.folders if description.optical else ()
    sar = {name: files_by_name(base / name, RASTER_ENDINGS) for name in description.sar.folders}
    optical = {name: files_by_name(base / name, RASTER_ENDINGS) for name in optical_folders}
    truth: dict[str, Path] = {}
    matched = {**sar, **optical}
    if description.label is not None:
        truth = matched[description.label.folder] = files_by_name(
            base / description.label.folder, RASTER_ENDINGS | VECTOR_ENDINGS
        )
    invalid = description.optical.invalid if description.optical else None
    clouds: dict[str, Path] = {}
    if invalid is not None:
        clouds = matched[invalid.folder] = files_by_name(base / invalid.folder, RASTER_ENDINGS)
    if description.incomplete:
        require_images(base, (sar, optical), matched)
    else:
        require_partners(base, matched)
    stems = sorted(set().union(*sar.values(), *optical.values()))
    turned = _turned(base, description.sar, stems)
    area = area_file(base, description.label.labelled_area) if description.label else None
    places = _places(stems, description.place_pattern, prefix)
    for stem in stems:
        label = truth.get(stem)
        vector = label is not None and label.suffix.lower() in VECTOR_ENDINGS
        yield Chip(
            key=prefix + stem,
            place=places[stem],
            sar=tuple(files[stem] for files in sar.values() if stem in files),
            optical=tuple(files[stem] for files in optical.values() if stem in files),
            mask=None if vector else label,
            footprints=label if vector else None,
            labelled_area=area,
            optical_invalid=InvalidMask(clouds[stem], invalid.values) if invalid and stem in clouds else None,
            rotate_180=stem in turned,
        )


def _turned(base: Path, sar: SarFolders, stems: Sequence[str]) -> frozenset[str]:
    """Chips that are turned by 180 degrees."""
    if sar.orientations is None or sar.radar_side is None:
        return frozenset()
    return read_orientations(base / sar.orientations, stems, sar.radar_side)


def _places(stems: Sequence[str], pattern: str | None, prefix: str) -> dict[str, str]:
    """The place of each chip."""
    if pattern is None:
        return {stem: prefix + stem for stem in stems}
    places = dict(zip(stems, search_names(pattern, "place", stems), strict=True))
    for stem, place in places.items():
        if not place:
            raise InputError(
                f"the chip name {quoted(stem)} does not fit place_pattern {quoted(pattern)}; correct the pattern."
            )
    return {stem: place or "" for stem, place in places.items()}
