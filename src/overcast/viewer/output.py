"""The map as an output of a prediction: drawn from what was just computed, and published with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from overcast.raster.addresses import file_name
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import SensorRadiometry
from overcast.viewer.export import map_page, require_html
from overcast.viewer.mercator import Projection
from overcast.viewer.scene_map import MapFiles
from overcast.viewer.shapes import open_shapes


@dataclass(frozen=True)
class MapOutput:
    """The HTML map of one scene. Raises InputError where its name or the reference cannot be."""

    path: Path
    """HTML file to write."""
    scene: Path
    """The radar scene; of one in several files the first."""
    optical: Path | None = None
    """Orthophoto; of one in several sheets the first."""
    reference: Path | None = None
    """True footprints: the map shows what was found, missed and invented."""
    sensor: SensorRadiometry | None = None
    """What the numbers of the scene mean, where its file does not say."""

    def __post_init__(self) -> None:
        require_html(self.path)
        if self.reference is not None:
            open_shapes(self.reference)

    @property
    def reads(self) -> tuple[Path, ...]:
        """What it reads beside the scene and its optical image."""
        return () if self.reference is None else (self.reference,)

    def write(self, target: Path, footprints: Path, grid: Georeference) -> None:
        """Draw the map of `footprints`.

        Args:
            target: Where it is written.
            footprints: Of the scene; the map names them as this file is named.
            grid: Of the outputs: pictures show its ground.

        Raises InputError where a file cannot be shown.
        """
        assert grid.crs is not None, "footprints have a coordinate system"
        files = MapFiles(footprints, self.scene, None, self.optical, self.reference)
        within = Projection.of(grid.crs).degrees(grid.extent)
        page = map_page(files, title=file_name(self.scene), within=within, sensor=self.sensor)
        target.write_text(page, encoding="utf-8")
