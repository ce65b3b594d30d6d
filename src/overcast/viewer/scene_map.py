"""The layers of one map, and what the page asks of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyproj

from overcast.errors import InputError
from overcast.outputs.encoding import SCALE
from overcast.raster.addresses import file_name
from overcast.raster.files import open_raster
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.units import Unit
from overcast.scenes.declare import declared_in
from overcast.viewer.answers import RequestError
from overcast.viewer.differences import NEVER_MISSED, SMALL, Differences, compare_in_subprocess
from overcast.viewer.mercator import Bounds, Projection, Tile
from overcast.viewer.rasters import Raster
from overcast.viewer.shapes import Shapes, open_shapes
from overcast.viewer.stretch import Stretch, photo_stretch, picture, probability_picture, radar_stretch
from overcast.viewer.vector_tiles import RowValues, vector_tile

MOST_BANDS = 12
"""Largest number of bands of a scene that can be chosen."""
COLOUR = 0
"""Number by which the page asks for three bands as red, green and blue."""


@dataclass(frozen=True)
class MapFiles:
    """What is shown; None is left out."""

    footprints: Path | None = None
    scene: Path | None = None
    probability: Path | None = None
    optical: Path | None = None
    reference: Path | None = None

    @property
    def given(self) -> Mapping[str, Path]:
        """The files by the name of their layer."""
        return {name: path for name, path in vars(self).items() if path is not None}


@dataclass(frozen=True)
class Picture:
    """A raster and how it becomes brightness."""

    raster: Raster
    stretch: Stretch
    bands: tuple[int, ...]
    """Bands that the stretch knows, from 1."""
    names: tuple[str, ...]
    """Names of all bands of the file."""
    unit: Unit | None = None

    def choice(self, band: int) -> tuple[int, ...]:
        """Positions in `bands` of one band, or of three for `COLOUR`. Raises RequestError where there are none such."""
        if band == COLOUR and len(self.bands) >= 2:
            return (0, 1, min(2, len(self.bands) - 1))
        if band in self.bands:
            return (self.bands.index(band),)
        raise RequestError(404, f"there is no band {band}: the file has bands 1 to {len(self.bands)}.")

    def render(self, values: Any, chosen: tuple[int, ...], *, small: bool = False) -> tuple[bytes, str]:
        """The picture of values of the chosen bands."""
        part = Stretch(
            self.stretch.log_factor,
            tuple(self.stretch.low[one] for one in chosen),
            tuple(self.stretch.high[one] for one in chosen),
        )
        return picture(*part.bytes_of(values), small=small)


class SceneMap:
    """A map of one scene. Safe to use from several threads."""

    def __init__(
        self, name: str, files: MapFiles, *, virtual: bool = False, sensor: SensorRadiometry | None = None
    ) -> None:
        """Open the files and begin the comparison with the reference, where there is one.

        Args:
            name: Title of the page.
            files: What is shown.
            virtual: The user named the files, so that rasters may be virtual ones.
            sensor: What the numbers of the scene mean; None: what its file declares.

        Raises InputError where a file cannot be shown, or none was given.
        """
        if not files.given:
            raise InputError("there is nothing to show: give footprints, a scene or another layer.")
        self.name, self._lock = name, threading.Lock()
        self.pictures: dict[str, Picture] = {}
        if files.scene is not None:
            self.pictures["scene"] = _radar(files.scene, virtual, sensor)
        if files.optical is not None:
            self.pictures["optical"] = _photo(files.optical, virtual)
        self.probability = None if files.probability is None else Raster(files.probability, virtual=virtual)
        self.shapes: dict[str, Shapes] = {
            layer: open_shapes(path) for layer in ("footprints", "reference") if (path := files.given.get(layer))
        }
        self._files, self._columns = files, dict[str, dict[str, RowValues]]()
        self._comparison: Future[Differences] | None = None
        self.bounds = self._bounds()

    def info(self) -> dict[str, Any]:
        """What the page has to know before it draws. It names files, and no folder."""
        return {
            "name": self.name,
            "bounds": self.bounds,
            "crs": self._crs(),
            "layers": {name: self._about(name, path) for name, path in self._files.given.items()},
            "compares": self.compares,
        }

    def picture_tile(self, layer: str, tile: Tile, band: int) -> tuple[bytes, str]:
        """A tile of the scene or the orthophoto; empty where it lies beside it."""
        shown = self.pictures.get(layer)
        if shown is None:
            raise RequestError(404, f"this map has no layer {layer!r}.")
        chosen = shown.choice(band)
        values = shown.raster.tile(tile, [shown.bands[one] for one in chosen])
        return (b"", "image/png") if values is None else shown.render(values, chosen)

    def probability_tile(self, tile: Tile) -> tuple[bytes, str]:
        """A tile of probability."""
        if self.probability is None:
            raise RequestError(404, "this map has no layer 'probability'.")
        values = self.probability.tile(tile, [1])
        return (b"", "image/png") if values is None else probability_picture(self.scaled(values[0]))

    def scaled(self, values: Any) -> Any:
        """Probabilities of stored values."""
        assert self.probability is not None, "asked for where there is one"
        return values * SCALE if self.probability.dtypes[0] == "uint8" else values

    def shape_tile(self, layer: str, tile: Tile) -> tuple[bytes, str]:
        """A vector tile of the footprints or the reference."""
        columns = self._columns.get(layer, {})
        return vector_tile(layer, self._shapes(layer), tile, columns), "application/vnd.mapbox-vector-tile"

    def attributes(self, layer: str, number: int) -> dict[str, Any]:
        """All that the file says about one polygon."""
        found = self._shapes(layer).attributes(number)
        if found is None:
            raise RequestError(404, f"there is no polygon {number} in {layer}.")
        return found

    def place(self, longitude: float, latitude: float) -> dict[str, Any]:
        """Coordinates of a place in the system of the map, and what the rasters hold there."""
        if not (-180 <= longitude <= 180 and -85.05 <= latitude <= 85.05):
            raise RequestError(400, "longitude is -180 to 180 and latitude -85.05 to 85.05 degrees.")
        to_map = pyproj.Transformer.from_crs("OGC:CRS84", self._system, always_xy=True)
        x, y = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True).transform(longitude, latitude)
        values = {name: shown.raster.value(x, y) for name, shown in self.pictures.items()}
        if self.probability is not None:
            stored = self.probability.value(x, y)
            values["probability"] = [None if one is None else float(self.scaled(one)) for one in stored[:1]]
        return {"xy": list(to_map.transform(longitude, latitude)), "values": values}

    @property
    def compared(self) -> bool:
        """True once the differences to the reference are known."""
        return bool(self._columns)

    @property
    def compares(self) -> bool:
        """True where footprints and reference are both given."""
        return {"footprints", "reference"} <= self.shapes.keys()

    def comparison(self) -> Differences | None:
        """The differences to the reference; None while they are computed. Raises InputError where that failed."""
        if not self.compares:
            raise RequestError(404, "this map has no reference: give one with --reference.")
        with self._lock:
            if self._comparison is None:
                self._comparison = _begun(self.shapes["footprints"].path, self.shapes["reference"].path)
            if not self._comparison.done():
                return None
            differences = self._comparison.result()
            if not self._columns:
                states = RowValues(self.shapes["footprints"].ids(), differences.states, SMALL)
                found = RowValues(self.shapes["reference"].ids(), differences.found, NEVER_MISSED)
                self._columns = {"footprints": {"m": states}, "reference": {"f": found}}
        return differences

    def close(self) -> None:
        """Close the rasters."""
        for raster in [*(shown.raster for shown in self.pictures.values()), self.probability]:
            if raster is not None:
                raster.close()

    def _shapes(self, layer: str) -> Shapes:
        if layer not in self.shapes:
            raise RequestError(404, f"this map has no layer {layer!r}.")
        return self.shapes[layer]

    def _about(self, layer: str, path: Path) -> dict[str, Any]:
        about: dict[str, Any] = {"file": file_name(path), "bounds": self._degrees().get(layer)}
        if layer in self.pictures:
            shown = self.pictures[layer]
            about |= {"bands": [shown.names[band - 1] for band in shown.bands], "unit": shown.unit}
        if layer in self.shapes:
            about |= {"count": self.shapes[layer].count, "confidence": self.shapes[layer].has_confidence}
        return about

    def _degrees(self) -> dict[str, Bounds]:
        rasters = {name: shown.raster for name, shown in self.pictures.items()}
        if self.probability is not None:
            rasters["probability"] = self.probability
        found = {name: raster.bounds for name, raster in rasters.items()}
        for name, shapes in self.shapes.items():
            if (box := shapes.bounds) is not None:
                found[name] = Projection.of(shapes.crs).degrees(box)
        return found

    def _bounds(self) -> Bounds:
        """West, south, east, north to begin with: what the first layer covers."""
        found = self._degrees()
        for layer in ("footprints", "scene", "probability", "optical", "reference"):
            if layer in found:
                return found[layer]
        return -180.0, -60.0, 180.0, 75.0

    @property
    def _system(self) -> pyproj.CRS:
        rasters = [shown.raster.projection.crs for shown in self.pictures.values()]
        rasters += [] if self.probability is None else [self.probability.projection.crs]
        return pyproj.CRS([*rasters, *(shapes.crs for shapes in self.shapes.values())][0])

    def _crs(self) -> dict[str, Any]:
        code = self._system.to_authority()
        return {"code": ":".join(code) if code else None, "name": self._system.name}


def _radar(path: Path, virtual: bool, sensor: SensorRadiometry | None) -> Picture:
    with open_raster(path, virtual=virtual) as dataset:
        declared = declared_in(path, dataset) if sensor is None else sensor.model_dump()
    unit = Unit(str(declared["unit"])) if "unit" in declared else None
    nodata = declared.get("nodata")
    raster = Raster(path, virtual=virtual, nodata=float(nodata) if isinstance(nodata, int | float) else None)
    bands = tuple(range(1, min(len(raster.names), MOST_BANDS) + 1))
    named = declared.get("bands")
    names = tuple(map(str, named)) if isinstance(named, list | tuple) and len(named) >= len(bands) else raster.names
    return Picture(raster, radar_stretch(raster.sample(bands), unit), bands, names, unit)


def _photo(path: Path, virtual: bool) -> Picture:
    raster = Raster(path, virtual=virtual)
    bands = (1, 2, 3) if len(raster.names) >= 3 else (1,)
    return Picture(raster, photo_stretch(raster.sample(bands), raster.dtypes[0]), bands, raster.names)


def _begun(predicted: Path, reference: Path) -> Future[Differences]:
    with_thread = ThreadPoolExecutor(1, thread_name_prefix="comparison")
    future = with_thread.submit(compare_in_subprocess, predicted, reference)
    with_thread.shutdown(wait=False)
    return future
