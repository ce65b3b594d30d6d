"""Rules by which chips are shared out to training, validation and test."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from overcast.config.data_section import AbsolutePath
from overcast.section import Section


class _Drawn(Section):
    """Parts that are drawn by their shares."""

    by: str
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the labelled chips, or tiles of scenes, for test."""
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the labelled chips, or tiles of scenes, for validation."""
    buffer_m: float = Field(default=0.0, ge=0, le=1e6)
    """Smallest distance in metres between the parts, where there is a georeference; what lies in between is dropped."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the draw."""


class Blocks(_Drawn):
    """Square blocks of ground, for any georeferenced chips."""

    by: Literal["blocks"] = "blocks"
    """`blocks`: square blocks of ground; `places`: whole places; `folders`: as published; `file`: a list of keys."""
    block_m: float = Field(default=2000.0, gt=0, le=1e7)
    """Side of a block in metres."""


class Places(_Drawn):
    """Whole places, for chips without georeference."""

    by: Literal["places"] = "places"
    """`places`: whole places, see `place_pattern` in dataset.yaml."""


class Folders(Section):
    """The publisher's own sub-folders; validation is taken from the places of the training folder."""

    by: Literal["folders"] = "folders"
    """`folders`: sub-folders of the root, as published."""
    train: str = "train"
    """Sub-folder of the training chips."""
    test: str = "test"
    """Sub-folder of the test chips."""
    find_places: bool = False
    """true: chips without georeference that continue one another at their edges are one place. Validation then shares
    no image with training; the published folders stay as they are, even where both hold chips of one image."""
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the training chips for validation."""
    buffer_m: float = Field(default=0.0, ge=0, le=1e6)
    """Smallest distance in metres between the parts, where chips have a georeference."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the draw."""


class SceneBlocks(_Drawn):
    """Square blocks of the labelled ground of scenes; all other ground is for training."""

    by: Literal["blocks"] = "blocks"
    """`blocks`: square blocks of ground; `places`: whole places; `polygons`: ground given; `file`: a list of keys."""
    block_m: float = Field(default=1000.0, gt=0, le=1e7)
    """Side of a block in metres, several times that of a tile."""


class ScenePlaces(_Drawn):
    """Whole places of scenes; those without labels are for training."""

    by: Literal["places"] = "places"
    """`places`: whole places as the description names them."""


class Polygons(Section):
    """Ground given as polygons; what lies in none of them is for training."""

    by: Literal["polygons"] = "polygons"
    """`polygons`: tiles inside of given polygons."""
    test: AbsolutePath
    """Vector file with the test ground."""
    validation: AbsolutePath
    """Vector file with the validation ground."""
    buffer_m: float = Field(default=0.0, ge=0, le=1e6)
    """Smallest distance in metres between the parts."""


class SplitFile(Section):
    """A split made before, for example by `overcast splits`."""

    by: Literal["file"] = "file"
    """`file`: the keys of each part are listed."""
    path: AbsolutePath
    """JSON or CSV file with the chip keys of train, validation and test."""


class Cities(Section):
    """Whole cities of DFC2023, by name."""

    by: Literal["cities"] = "cities"
    """`cities`: whole cities; `neighbourhoods`: cells of 1 km in all cities; `file`: a list of keys."""
    test: tuple[str, ...] = ("Copenhagen", "Rio", "SanDiego")
    """Cities that are tested on."""
    validation: tuple[str, ...] = ("Barcelona", "NewYork")
    """Cities for validation."""


class Neighbourhoods(_Drawn):
    """Cells of 1 km, drawn; for names that carry no city, or to see every city in training."""

    by: Literal["neighbourhoods"] = "neighbourhoods"
    """`neighbourhoods`: cells of 1 km; chips of neighbouring cells that overlap are dropped."""
    validation_share: float = Field(default=0.12, gt=0, lt=1)
    """Share of all chips for validation."""


class Regions(Section):
    """Whole regions of OpenEarthMap-SAR, found from the georeference, drawn."""

    by: Literal["regions"] = "regions"
    """`regions`: whole regions; `file`: a list of keys."""
    gap_m: float = Field(default=2000.0, gt=0, le=1e5)
    """Tiles whose centres lie at most this far apart, in metres, are of one region."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of all chips for test."""
    validation_share: float = Field(default=0.12, gt=0, lt=1)
    """Share of all chips for validation."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the draw."""


class Events(Section):
    """Whole disasters of BRIGHT, by name."""

    by: Literal["events"] = "events"
    """`events`: whole disasters; `file`: a list of keys."""
    test: tuple[str, ...] = ("beirut-explosion", "libya-flood", "marshall-wildfire", "noto-earthquake")
    """Events that are tested on; the last two were the unseen ones of the contest."""
    validation: tuple[str, ...] = ("bata-explosion", "haiti-earthquake", "hawaii-wildfire")
    """Events for validation."""
