"""Scenes to footprints: `prepare`, `predict`, `score`."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from overcast.api.model import Model, load_model
from overcast.api.optical import Optical
from overcast.api.prediction import PAGE_ENDINGS, RASTER_ENDINGS, Prediction
from overcast.errors import ConfigError, InputError
from overcast.installed.scenes import model_for_array, model_for_files, model_to_prepare_for
from overcast.metrics.footprints import FootprintOptions, FootprintScores, score_footprints
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import PrepareSummary, prepare_scene
from overcast.raster.addresses import located
from overcast.raster.files import open_raster
from overcast.raster.radiometry import SensorRadiometry
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.ground import area_of
from overcast.scenes.predict import PredictOptions, predict_file

_LOGGER = logging.getLogger("overcast")
Named = str | Path
Files = Named | Sequence[Named]


def predict(  # noqa: PLR0913  # each is a word of the user's own
    scene: Files | NDArray[np.number],
    model: Model | Named | None = None,
    *,
    output: Files = (),
    declared: Mapping[str, object] | None = None,
    transform: Affine | None = None,
    crs: str | None = None,
    options: PredictOptions | None = None,
    area: Named | Sequence[float] | None = None,
    optical: Files | Optical | None = None,
) -> Prediction:
    """Map a SAR scene: find its buildings as footprints, with the probability behind them.

    Args:
        scene: One file, or several on one grid whose bands together, in order, are those of the model; or an array
            (C, H, W) in the model's unit. NaN and the declared nodata mean no data.
        model: A loaded model, the name of an installed one, or a path. None takes the installed model that fits what
            the scene declares, of an array its number of bands; `Prediction.model` says which one and why.
        output: Files to write, one of each kind: footprints (.gpkg, .parquet, .geojson), probability (.tif), a map to
            send (.html). Footprints and probability that are not named here are kept in a temporary folder as long as
            the returned object lives.
        declared: What the pixels mean, where the files do not say: bands, unit, nodata, gsd_m, radar_side. For an
            array it changes the model's own declaration.
        transform: Of an array: pixel (column, row) to map (x, y).
        crs: Of an array: coordinate system, for example "EPSG:32631". Without it there are no footprints.
        options: Threshold, outlines, tiles, precision and the like.
        area: The part to map: xmin, ymin, xmax, ymax in the scene's coordinates, the same as text that ends with
            @lonlat, or a file of polygons. Inside, every probability is that of the whole scene.
        optical: An optical image of the ground or its sheets, in any coordinate system and pixel size, or an `Optical`
            with a cloud mask. The model must be a run folder or a full bundle. What the image does not show is
            mapped from SAR alone.

    Returns:
        The footprints, the probability and a summary; they are read from files when they are used.

    Raises:
        BundleError: An optical image is given to a model that has no optical branch.
        InputError: A file cannot be read or written.
        RadiometryError: The scene is not what the model was trained for; the message names both sides.

    Example:
        >>> prediction = predict("scene.tif", output="footprints.gpkg")  # doctest: +SKIP
    """
    if not isinstance(scene, np.ndarray) and (transform is not None or crs is not None):
        raise ConfigError("transform and crs belong to arrays: files bring their own.")
    beside = Optical.input_of(optical)
    used, said = _used(scene, model, declared, every_branch=beside is not None)
    options = options or PredictOptions()
    options = options if area is None else replace(options, area=area_of(area))
    targets = _targets(_several(output))
    folder = Path(mkdtemp(prefix="overcast-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if isinstance(scene, np.ndarray):
            source = _Scene.write(scene, used, folder / "scene.tif", declared, (transform, crs))
        else:
            names = [located(name) for name in _several(scene)]
            source = _Scene(names, scene_radiometry(names, declared))
        first, photo = source.files[0], beside.files[0] if beside is not None and beside.files else None
        with open_raster(first, virtual=True) as dataset:
            placed = dataset.crs is not None
        if "map" in targets:
            from overcast.viewer.output import MapOutput

            options = replace(options, page=MapOutput(targets["map"], first, photo, None, source.sensor))
        summary = predict_file(
            source.files,
            used.bundle,
            sensor=source.sensor,
            footprints=targets.get("footprints") or (folder / "footprints.gpkg" if placed else None),
            probability=targets.get("probability") or folder / "probability.tif",
            options=options,
            optical=beside,
        )
        stack.pop_all()
    return Prediction(summary, folder, first, source.sensor, photo, said)


def prepare(
    inputs: Files,
    output: Named,
    model: Model | Named | None = None,
    options: PrepareOptions | None = None,
) -> PrepareSummary:
    """Turn the files of a provider into a scene that `predict` accepts with this model.

    Args:
        inputs: Files: `scene.tif`, `HV=b.tif`, or `HV=scene.tif@2` for its second band.
        output: GeoTIFF to write, .tif.
        model: Decides bands, unit, pixel size and radar side: a loaded model, the name of an installed one, or a
            path; None is the installed one that uses most of the input's bands.
        options: What the files do not say: bands, unit, calibration, radar side and the like.

    Returns:
        What was done, step by step, and the file that was written.

    Raises:
        RadiometryError: Something is unknown, ambiguous or implausible; the message says what to state.
        InputError: A file is missing or damaged, or the output cannot be written.
    """
    if model is None:
        choice = model_to_prepare_for(_several(inputs), None if options is None else options.bands)
        _LOGGER.info("%s", choice.sentence)
        model = choice.model.folder
    used = model if isinstance(model, Model) else load_model(model)
    return prepare_scene(_several(inputs), used.bundle, Path(output), options)


def score(predicted: Named, reference: Named, options: FootprintOptions | None = None) -> FootprintScores:
    """Compare the footprints of a scene, made by any tool, with reference footprints, one by one.

    Args:
        predicted: Vector file; a column `confidence`, where there is one, orders the footprints.
        reference: Vector file of the true footprints of the same ground, in any coordinate system.
        options: Smallest footprint, name of the column, ground to compare on.

    Returns:
        Counts of matched, missed and invented footprints, AP, PoLiS and the IoU of the areas.

    Raises:
        InputError: A file cannot be read or names no coordinate system, or the reference is empty.
    """
    return score_footprints(Path(predicted), Path(reference), options)


def _used(
    scene: Files | NDArray[np.number],
    model: Model | Named | None,
    declared: Mapping[str, object] | None,
    *,
    every_branch: bool,
) -> tuple[Model, str]:
    """The model, and which one it is, with the reason where nobody named it."""
    if model is not None:
        used = model if isinstance(model, Model) else load_model(model, full=every_branch)
        return used, f"model {used.name}: as named"
    if isinstance(scene, np.ndarray):
        choice = model_for_array(scene.shape, declared)
    else:
        choice = model_for_files([located(name) for name in _several(scene)], declared, every_branch=every_branch)
    _LOGGER.info("%s", choice.sentence)
    return load_model(choice.model.folder), choice.sentence


def _several(names: Files) -> list[Named]:
    return [names] if isinstance(names, str | Path) else list(names)


def _targets(names: Sequence[Named]) -> dict[str, Path]:
    """Where footprints, probability and map go. Raises ConfigError where two names ask for the same."""
    found: dict[str, Path] = {}
    for path in map(Path, names):
        ending = path.suffix.lower()
        kind = "probability" if ending in RASTER_ENDINGS else "map" if ending in PAGE_ENDINGS else "footprints"
        if kind in found:
            raise ConfigError(f"{found[kind]} and {path} ask for the same output: name one of each kind.")
        found[kind] = path
    return found


@dataclass(frozen=True)
class _Scene:
    """Files of a scene and what their pixels mean."""

    files: list[Path]
    sensor: SensorRadiometry

    @classmethod
    def write(
        cls,
        values: NDArray[np.number],
        model: Model,
        path: Path,
        declared: Mapping[str, object] | None,
        place: tuple[Affine | None, str | None],
    ) -> _Scene:
        """Store an array as a file, so that arrays and files go one way. Raises InputError for a wrong shape."""
        sensor = model.inputs[0].model_copy(update=dict(declared or {}))
        sensor = SensorRadiometry.model_validate(sensor.model_dump())
        if values.ndim != 3 or len(values) != len(sensor.bands):
            raise InputError(
                f"an array of shape {values.shape} is not (bands, height, width) with the bands {list(sensor.bands)}: "
                "reorder its axes, or declare its bands."
            )
        transform, crs = place
        where = {"crs": crs, "transform": transform or Affine.scale(sensor.gsd_m, -sensor.gsd_m)}
        shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
        with rasterio.open(path, "w", driver="GTiff", tiled=True, **shape, **where) as dataset:
            dataset.write(values)
        return cls([path], sensor)
