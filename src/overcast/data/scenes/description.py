"""The description of a data set of scenes: a YAML file with one entry for each place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from overcast.data.stated import Stated
from overcast.errors import InputError
from overcast.raster.addresses import is_remote, located
from overcast.raster.units import RadarSide, Unit
from overcast.section import Section
from overcast.settings import read_settings

Files = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given), Field(min_length=1)
]
"""One file or several, relative to the description; addresses such as `s3://bucket/scene.tif` are files too."""

PlaceName = Annotated[str, Field(pattern=r"^[^/\s]+$")]
"""Without blanks and slashes: it begins the keys of the place's tiles."""


class GridOptions(Section):
    """The pixel grid on which everything is brought together."""

    gsd_m: float | None = Field(default=None, gt=0, le=1000)
    """Pixel size in metres; null: that of the SAR images, which are then not resampled."""


class SarOptions(Section):
    """What the numbers in the SAR images mean; the same in all places."""

    bands: tuple[str, ...] = Field(min_length=1)
    """Polarisations in file order; several files of a place are stacked in their order."""
    unit: Unit
    """`linear_power`, `amplitude`, `dB` or `digital_number`."""
    nodata: float | None = None
    """Value that means 'no data'; NaN always does."""
    radar_side: RadarSide | None = None
    """Side on which the radar stood; null where it is unknown or differs between places."""


class OpticalOptions(Section):
    """What the numbers in the optical images mean; the same in all places."""

    bands: tuple[str, ...] = Field(min_length=1)
    """Names in file order."""
    unit: Unit = Unit.DIGITAL_NUMBER
    """Unit of the values."""
    nodata: float | None = None
    """Value that means 'no data'; NaN and a mask or alpha band of the file always count."""
    cloud_values: tuple[int, ...] | None = None
    """Values in the cloud masks that hide the ground; null: every value but 0."""


class VectorFile(Section):
    """Polygons; a plain path stands for `file`."""

    file: str = Field(min_length=1)
    """GeoPackage, GeoParquet, GeoJSON or Shapefile, relative to the description."""
    layer: str | None = None
    """Layer of the file; null: the only one with shapes."""
    where: str | None = None
    """Condition in SQL that shapes must meet, such as `building IS NOT NULL`."""

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, given: Any) -> Any:
        return {"file": given} if isinstance(given, str) else given


def _finite_pair(given: tuple[float, float]) -> tuple[float, float]:
    if not all(abs(value) <= 1000 for value in given):
        raise ValueError("a shift is [east, north] in metres, each within 1000 m")
    return given


Shift = Annotated[tuple[float, float], AfterValidator(_finite_pair)]


class Shifts(Section):
    """Known offsets: by how many metres to the east and to the north each layer is moved before it is used."""

    optical: Shift = (0.0, 0.0)
    """[east, north] for the optical image and its clouds."""
    footprints: Shift = (0.0, 0.0)
    """[east, north] for footprints and labelled area."""


class PlaceOptions(Section):
    """One piece of ground and the files that show it; any of SAR, optical and footprints may be missing."""

    sar: Files | None = None
    """SAR image: files of one grid whose bands are stacked."""
    optical: Files | None = None
    """Optical image: one or several sheets, in any coordinate system and pixel size; where sheets overlap the first
    one counts."""
    footprints: VectorFile | None = None
    """Outlines of the class; without them the place is not labelled."""
    labelled_area: VectorFile | None = None
    """Polygons inside of which the footprints are complete; null: the whole place."""
    clouds: str | None = None
    """Mask of clouds over the optical image, a raster in any coordinate system."""
    shift_m: Shifts = Shifts()
    """Correction of known offsets."""

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """Files by layer, as the description names them; layers that the place lacks are left out."""
        vectors = {"footprints": self.footprints, "labelled_area": self.labelled_area}
        found = {"sar": self.sar, "optical": self.optical, "clouds": (self.clouds,) if self.clouds else None}
        found |= {name: (chosen.file,) if chosen else None for name, chosen in vectors.items()}
        return {name: files for name, files in found.items() if files}

    @model_validator(mode="after")
    def _something(self) -> PlaceOptions:
        if self.sar is None and self.optical is None:
            raise ValueError("the place names neither sar nor optical; give an image of it or leave the place out")
        for given, name, needed, of in (
            (self.labelled_area, "labelled_area", self.footprints, "footprints"),
            (self.clouds, "clouds", self.optical, "optical"),
        ):
            if given is not None and needed is None:
                raise ValueError(f"{name} says something about {of}, which the place does not name; add {of}")
        return self


class ScenesDescription(Section):
    """Description of a data set of scenes."""

    name: str = Field(min_length=1)
    """Name of the data set, for reports and model cards."""
    class_name: str = "building"
    """What the footprints outline."""
    licence: Stated
    """SPDX identifier, or the words of the publisher."""
    simulated: bool = False
    """true where the images were computed, not measured."""
    grid: GridOptions = GridOptions()
    """The grid of all places."""
    sar: SarOptions
    """The SAR images."""
    optical: OpticalOptions | None = None
    """The optical images; null where no place has any."""
    places: dict[PlaceName, PlaceOptions] = Field(min_length=1)
    """Places by name."""

    @field_validator("places")
    @classmethod
    def _not_empty(cls, places: dict[str, PlaceOptions]) -> dict[str, PlaceOptions]:
        if not any(place.sar for place in places.values()):
            raise ValueError("no place names a SAR image; at least one needs sar, since models work from it")
        return places

    @model_validator(mode="after")
    def _optical_described(self) -> ScenesDescription:
        name = next((name for name, place in self.places.items() if place.optical), None)
        if name is not None and self.optical is None:
            raise ValueError(
                f"place {name} names optical images, but there is no section optical; describe their bands"
            )
        return self


def description_file(path: Path) -> Path:
    """The file itself, or the only YAML file in a folder. Raises InputError where there is none or several."""
    if not path.is_dir():
        return path
    found = sorted(file for ending in ("*.yaml", "*.yml") for file in path.glob(ending))
    if len(found) != 1:
        names = f"{len(found)} YAML files ({', '.join(file.name for file in found[:5])})" if found else "no YAML file"
        raise InputError(f"{path} holds {names}; name the description of the scenes itself.")
    return found[0]


def read_scenes(path: Path) -> ScenesDescription:
    """Read a description. Raises ConfigError that names the key, what is wrong and the nearest known key."""
    return read_settings(ScenesDescription, path)


def resolve(base: Path, file: str) -> Path:
    """The path of a file that a description in the folder `base` names."""
    path = located(file)
    return path if is_remote(path) else base / path.expanduser()
