"""What `predict` returns: footprints and probability of one scene, read from files when they are asked for."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.outputs.cog import ProbabilitySource
from overcast.outputs.formats import VectorFormat, vector_format
from overcast.outputs.staging import staged
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.vectors import read_shapes
from overcast.scenes.predict import PredictionSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from overcast.viewer.export import MapPage

RASTER_ENDINGS = frozenset({".tif", ".tiff"})
PAGE_ENDINGS = frozenset({".html", ".htm"})
LARGEST_PLOT_PX = 2000
"""Side of the largest probability map that `plot` draws whole; larger ones are thinned."""


@dataclass(frozen=True)
class Prediction:
    """Footprints and probability of a scene. Made by `predict`.

    The results lie in files, at the places that the caller named or in a temporary folder that lives as long as this
    object. Nothing is in memory until it is asked for.
    """

    summary: PredictionSummary
    """Counts, areas, durations, and where the files lie."""
    folder: Path = field(repr=False)
    """Holds the files that the caller did not name; it is removed with this object."""
    scene: Path
    """The radar scene that was mapped; of one in several files the first."""
    sensor: SensorRadiometry = field(repr=False)
    """Bands, unit, nodata, pixel size and radar side of the scene."""
    optical: Path | None = None
    """The optical image beside the scene; of one in several sheets the first."""
    model: str = ""
    """Which model mapped the scene, and why that one."""

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @cached_property
    def footprints(self) -> geopandas.GeoDataFrame:
        """One polygon a row, in the scene's coordinate system, with area, confidence and provenance.

        Raises InputError where the scene has no coordinate system, since polygons need one.
        """
        return read_shapes(self._footprints_file)

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """(H, W) probability of the class, 0 .. 1; NaN where the scene has no data. The whole scene in memory."""
        with self._probability_source() as source:
            pixels = source.read(source.georeference.whole)
        return np.where(pixels.valid, pixels.values[0], np.float32(np.nan))

    @cached_property
    def transform(self) -> Affine:
        """Pixel (column, row) of `probability` to map (x, y)."""
        with self._probability_source() as source:
            return source.georeference.transform

    @cached_property
    def crs(self) -> str | None:
        """Coordinate system of the scene; None where it has none."""
        with self._probability_source() as source:
            return source.georeference.crs

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the footprints (.gpkg, .parquet, .geojson), the probability (.tif) or a map to send (.html).

        Returns the path. Raises InputError if the file exists and `overwrite` is False, or if the ending is none of
        these.
        """
        target = Path(path)
        if target.suffix.lower() in PAGE_ENDINGS:
            return self.explore().save(target, overwrite=overwrite)
        if target.exists() and not overwrite:
            raise InputError(f"{target} exists already; write elsewhere, or say overwrite=True.")
        write = self._writer(target)
        with staged((target,)) as staging:
            write(staging.path(target))
            staging.publish()
        return target

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the probability in grey with the outlines of the footprints over it; returns the matplotlib axes."""
        from matplotlib import pyplot as plt

        axes = plt.subplots()[1] if axes is None else axes
        step = max(1, -(-max(self.probability.shape) // LARGEST_PLOT_PX))
        height, width = self.probability.shape
        left, top = self.transform @ (0, 0)
        right, bottom = self.transform @ (width, height)
        axes.imshow(self.probability[::step, ::step], extent=(left, right, bottom, top), cmap="gray", vmin=0, vmax=1)
        if self.summary.footprints is not None and self.summary.footprint_count:
            self.footprints.boundary.plot(ax=axes, color="tab:orange", linewidth=0.8)
        axes.set_title(f"{self.summary.footprint_count or 0} footprints on {self.summary.valid_km2:.3g} km²")
        return axes

    def explore(
        self, scene: str | Path | None = None, *, optical: str | Path | None = None, reference: str | Path | None = None
    ) -> MapPage:
        """An interactive map: a notebook shows it, and `save` writes it as one HTML file.

        Args:
            scene: A raster to draw below the footprints instead of the scene that was mapped.
            optical: Orthophoto, instead of the optical image that was given to `predict`.
            reference: True footprints, to see what was found, missed and invented.

        Raises InputError where the scene has no coordinate system, or a file cannot be shown.
        """
        from overcast.viewer.export import MapPage
        from overcast.viewer.scene_map import MapFiles

        photo = self.optical if optical is None else Path(optical)
        truth = None if reference is None else Path(reference)
        files = MapFiles(self._footprints_file, self.scene if scene is None else Path(scene), None, photo, truth)
        return MapPage.of(files, sensor=self.sensor if scene is None else None)

    def _writer(self, target: Path) -> Callable[[Path], object]:
        if target.suffix.lower() in RASTER_ENDINGS:
            source = self.summary.probability
            assert source is not None, "predict always writes the probability"
            return lambda place: shutil.copyfile(source, place)
        wanted, footprints = vector_format(target), self._footprints_file
        if vector_format(footprints) is wanted:
            return lambda place: shutil.copyfile(footprints, place)
        if wanted is VectorFormat.GEOPARQUET:
            return lambda place: self.footprints.to_parquet(place, write_covering_bbox=True)
        options = {"RFC7946": "YES"} if wanted is VectorFormat.GEOJSON else {}
        return lambda place: self.footprints.to_file(place, engine="pyogrio", **options)

    @property
    def _footprints_file(self) -> Path:
        if self.summary.footprints is None:
            raise InputError("the scene has no coordinate system, so it has no footprints: give transform and crs.")
        return self.summary.footprints

    def _probability_source(self) -> AbstractContextManager[ProbabilitySource]:
        assert self.summary.probability is not None, "predict always writes the probability"
        return ProbabilitySource.open(self.summary.probability)
