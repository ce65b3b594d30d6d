"""One call from the files of a scene to footprints and a raster of probability."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine

from overcast import __version__
from overcast.bundle import Bundle
from overcast.data.files import open_raster
from overcast.data.radiometry import GSD_TOLERANCE, SensorRadiometry
from overcast.data.raster import Georeference, RasterioSource, RasterSink, RasterSource
from overcast.errors import ConfigError, InputError, RadiometryError
from overcast.inference.area import measure_area
from overcast.inference.cog import (
    BLOCK,
    CACHE_BYTES,
    Encoding,
    ProbabilitySource,
    ProbabilityWriter,
    bounded_cache,
    write_cog,
)
from overcast.inference.formats import vector_format
from overcast.inference.model import SceneModel
from overcast.inference.outputs import Staging, require_space, require_writable, staged, termination_as_interrupt
from overcast.inference.polygons import PolygonOptions, vectorize
from overcast.inference.progress import Progress, Report, Stage
from overcast.inference.rotate import RotatedSink, RotatedSource
from overcast.inference.scene import SceneOptions, SceneSummary, predict_scene
from overcast.inference.vector import Origin, require_placeable, write_footprints

LARGEST_CACHE_BYTES = 512 * 2**20
"""Bound of the block cache for scenes stored in rows as wide as the scene."""


@dataclass(frozen=True)
class PredictOptions:
    """How a scene becomes files."""

    scene: SceneOptions = field(default_factory=SceneOptions)
    polygons: PolygonOptions = field(default_factory=lambda: PolygonOptions(min_area_m2=10.0))
    encoding: Encoding = Encoding.UINT8
    overwrite: bool = False
    """Replace outputs that exist."""


@dataclass(frozen=True)
class PredictionSummary:
    """What was made of a scene."""

    scene: SceneSummary
    probability: Path | None
    footprints: Path | None
    footprint_count: int | None
    """None where no footprints were asked for."""
    rotated: bool
    """True where the scene was seen from the opposite side and turned for the network."""
    km2: float
    """Area of the scene by its ground sampling distance."""
    valid_km2: float
    elapsed_s: float
    """All of it, writing included."""


@dataclass(frozen=True)
class _Job:
    """A request that passed every check."""

    scene: tuple[Path, ...]
    model: SceneModel
    sensor: SensorRadiometry
    options: PredictOptions
    probability: Path | None
    footprints: Path | None
    rotate: bool
    report: Report | None

    @property
    def targets(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.probability, self.footprints) if path is not None)

    @property
    def pixel_km2(self) -> float:
        return self.sensor.gsd_m**2 / 1e6

    @property
    def km2_report(self) -> Report | None:
        """Passes states in pixels on in km^2."""
        report, factor = self.report, self.pixel_km2
        if report is None:
            return None
        return lambda state: report(Progress(state.stage, state.done * factor, state.total * factor, state.elapsed_s))


def predict_file(
    scene: Sequence[Path],
    bundle: Bundle | SceneModel,
    *,
    sensor: SensorRadiometry,
    footprints: Path | None = None,
    probability: Path | None = None,
    options: PredictOptions | None = None,
    progress: Report | None = None,
) -> PredictionSummary:
    """Map a scene. Everything is checked before the first pixel; outputs appear together at the end, or not at all.

    Args:
        scene: Files on one grid whose bands, in order, are those of `sensor`.
        bundle: The model. A scene seen from the opposite side is turned by 180 degrees and its prediction back.
        sensor: What the scene's numbers mean (see `scene_radiometry`).
        footprints: .gpkg, .parquet or .geojson, by its ending; the scene must have a CRS.
        probability: Cloud-optimised GeoTIFF, .tif or .tiff.
        options: How the scene becomes files.
        progress: Called with the stage, km^2 done and in all.

    Raises:
        InputError: A file is unreadable, has no CRS where one is needed, exists already, or cannot be written (full
            disk); nothing is left behind.
        RadiometryError: The scene is not what the model was trained for.
    """
    paths, options = tuple(scene), options or PredictOptions()
    started = time.monotonic()
    model = bundle if isinstance(bundle, SceneModel) else SceneModel.of(bundle)
    _check_outputs(paths, footprints, probability, options)
    rotate = model.must_rotate(sensor, paths[0].name)
    job = _Job(paths, model, sensor, options, probability, footprints, rotate, progress)
    with ExitStack() as stack:
        source = stack.enter_context(RasterioSource.open(paths, sensor))
        _check_grid(job, source.georeference)
        stack.enter_context(termination_as_interrupt())
        stack.enter_context(bounded_cache(_cache_bytes(paths, source.georeference, options)))
        staging = stack.enter_context(staged(job.targets))
        summary, count = _run(job, source, staging)
        staging.publish()
    return PredictionSummary(
        scene=summary,
        probability=probability,
        footprints=footprints,
        footprint_count=count,
        rotated=rotate,
        km2=summary.total_pixels * job.pixel_km2,
        valid_km2=summary.valid_pixels * job.pixel_km2,
        elapsed_s=time.monotonic() - started,
    )


def _check_outputs(
    scene: tuple[Path, ...], footprints: Path | None, probability: Path | None, options: PredictOptions
) -> None:
    if footprints is None and probability is None:
        raise ConfigError("nothing to write: name a file for the footprints, for the probability, or both.")
    if footprints is not None:
        vector_format(footprints)
    if probability is not None and probability.suffix.lower() not in {".tif", ".tiff"}:
        raise InputError(f"{probability.name} does not end in .tif: the probability is written as GeoTIFF; rename it.")
    for target in (footprints, probability):
        if target is None:
            continue
        if target.resolve() in {path.resolve() for path in scene}:
            raise InputError(f"{target} is the scene itself; write elsewhere.")
        require_writable(target, overwrite=options.overwrite)


def _check_grid(job: _Job, grid: Georeference) -> None:
    """CRS, ground sampling distance and free space."""
    name = job.scene[0]
    if job.footprints is not None and (grid.crs is None or grid.transform == Affine.identity()):
        missing = "coordinate reference system" if grid.crs is None else "geotransform"
        raise InputError(
            f"{name} has no {missing}, which footprints need; assign it (gdal_edit.py -a_srs EPSG:... -a_ullr ...), "
            "or ask for the probability only."
        )
    if job.footprints is not None:
        require_placeable(job.footprints, grid)
    if grid.crs is not None and grid.transform != Affine.identity():
        found_m = measure_area(grid).pixel_m2 ** 0.5
        if abs(found_m / job.sensor.gsd_m - 1) > GSD_TOLERANCE:
            raise RadiometryError(
                f"{name} has pixels of {found_m:.3g} m by its geotransform, but {job.sensor.gsd_m:.3g} m are declared; "
                "correct one of them."
            )
    stored = grid.height * grid.width * np.dtype(job.options.encoding.value).itemsize
    copies = 1.0 if job.probability is None else 2.4  # as it grows; compressed, with overviews, at worst
    require_space(job.targets[0], int(copies * stored) + 2**20)


def _cache_bytes(paths: tuple[Path, ...], grid: Georeference, options: PredictOptions) -> int:
    """Block cache so that input stored in whole rows is decoded once a row of tiles, and output blocks fill up."""
    wide = BLOCK * grid.width * np.dtype(options.encoding.value).itemsize
    for path in paths:
        with open_raster(path) as dataset:
            striped = any(block_width >= dataset.width for _, block_width in dataset.block_shapes)
            row_bytes = dataset.width * sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
        wide += options.scene.tile * row_bytes if striped else 0
    return min(CACHE_BYTES + wide, LARGEST_CACHE_BYTES)


def _run(job: _Job, source: RasterSource, staging: Staging) -> tuple[SceneSummary, int | None]:
    """Write the outputs into their staging folders."""
    grid = source.georeference
    raster = staging.scratch(job.targets[0].name)
    with ProbabilityWriter(raster, grid, job.options.encoding, _tags(job)) as writer:
        sink: RasterSink = RotatedSink(writer, grid) if job.rotate else writer
        seen: RasterSource = RotatedSource(source) if job.rotate else source
        model = job.model
        summary = predict_scene(seen, model.network, model.statistics, job.options.scene, sink, job.km2_report)
    count = None
    if job.footprints is not None and grid.crs is not None:
        origin = Origin(
            crs=grid.crs,
            class_name=job.model.class_name,
            provenance=job.model.modality.value,
            model=job.model.identity,
            scene=job.scene[0].name,
        )
        with ProbabilitySource.open(raster) as probability:
            portions = vectorize(probability, job.options.polygons, job.km2_report)
            count = write_footprints(staging.path(job.footprints), portions, origin)
    if job.probability is not None:
        _write_probability(job, raster, staging.path(job.probability), summary)
    return summary, count


def _write_probability(job: _Job, raster: Path, target: Path, summary: SceneSummary) -> None:
    started = time.monotonic()
    write_cog(raster, target)
    if job.report is not None:
        km2 = summary.total_pixels * job.pixel_km2
        job.report(Progress(Stage.WRITE, km2, km2, time.monotonic() - started))


def _tags(job: _Job) -> dict[str, str]:
    """GeoTIFF metadata: which model saw what."""
    return {
        "DESCRIPTION": f"probability of {job.model.class_name}",
        "TIFFTAG_SOFTWARE": f"overcast {__version__}",
        "OVERCAST_VERSION": __version__,
        "OVERCAST_CLASS": job.model.class_name,
        "OVERCAST_MODEL": job.model.name,
        "OVERCAST_MODEL_SHA256": job.model.sha256,
        "OVERCAST_MODEL_LICENCE": job.model.licence,
        "OVERCAST_PROVENANCE": job.model.modality.value,
        "OVERCAST_SCENE": ", ".join(path.name for path in job.scene),
        "OVERCAST_SCENE_RADIOMETRY": job.sensor.model_dump_json(),
    }
