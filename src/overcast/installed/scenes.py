"""The installed model for what a user names: files of a scene, many scenes, an input to be prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from affine import Affine

from overcast.bundle.contract import INSTALLED, ModelContract
from overcast.errors import InputError, RadiometryError
from overcast.fleet.scenes import first_scene
from overcast.installed.choice import Choice, Declaration, choose, choose_for_bands, sole_choice
from overcast.installed.folders import InstalledModel
from overcast.preparation.bands import find_bands
from overcast.preparation.inputs import ask
from overcast.raster.addresses import address, file_name
from overcast.raster.files import grid_of, open_raster
from overcast.raster.georeference import Georeference, is_metric
from overcast.raster.radiometry import SensorRadiometry
from overcast.scenes.declare import scene_radiometry

_DEFAULT = Choice(
    InstalledModel(INSTALLED.name, INSTALLED, packaged=True),
    "the first that is installed with Overcast, since what is given does not say yet which one it needs",
)


def model_for_files(
    files: Sequence[Path], declared: Mapping[str, object] | None, *, every_branch: bool = False
) -> Choice:
    """The model for one scene.

    Args:
        files: Of the scene, in order of their bands.
        declared: Parts of the declaration that the user gives.
        every_branch: An optical image is to be used.

    Raises:
        RadiometryError: Something is not declared, or no installed model takes the scene.
        InputError: A file is missing or unreadable.
    """
    only = sole_choice()
    if only is not None:
        return only
    found = _declaration(files, declared)
    return choose(lambda _: found, every_branch=every_branch)


def model_for_array(shape: Sequence[int], declared: Mapping[str, object] | None) -> Choice:
    """The model for an array of a shape (C, H, W), whose pixels are a model's own but for what is declared.

    Raises RadiometryError where no installed model takes so many bands, or what is declared of them.
    """

    def as_declared(contract: ModelContract) -> Declaration:
        """The array as a scene of a model's own pixels."""
        sensor = SensorRadiometry.model_validate(contract.sensor.model_dump() | dict(declared or {}))
        if len(shape) != 3 or len(sensor.bands) != shape[0]:
            raise InputError(
                f"an array of shape {tuple(shape)} is not (bands, height, width) with the bands {list(sensor.bands)} "
                f"of model {contract.name}: reorder its axes, or declare its bands."
            )
        grid = Georeference(int(shape[1]), int(shape[2]), Affine.scale(sensor.gsd_m, -sensor.gsd_m), None)
        return Declaration(sensor, grid, "the array")

    return choose(as_declared)


def model_for_many(
    arguments: Sequence[str], declared: Mapping[str, object] | None, *, every_branch: bool = False
) -> Choice:
    """The model for many scenes: that of the first; each of the others is compared with it when its turn comes.

    Where the first does not say what it is, it is the package's first model: that scene's error stands in the manifest.
    """
    known = []

    def first(contract: ModelContract) -> Declaration:
        known.append(_declaration(first_scene(arguments, contract.sensor.bands).files, declared))
        return known[-1]

    try:
        return choose(first, every_branch=every_branch)
    except RadiometryError:
        if known:
            raise
        return _DEFAULT


def model_to_prepare_for(
    inputs: Sequence[str | Path], bands: tuple[str, ...] | None, *, every_branch: bool = False
) -> Choice:
    """The model that files are to be prepared for, by the bands that they have.

    Where nobody says which bands these are, it is the package's first: preparing for it asks what is missing.

    Args:
        inputs: As the user names them.
        bands: Names of all bands, where the user gives them.
        every_branch: An optical image is to be used.

    Raises RadiometryError where no installed model takes these bands.
    """
    only = sole_choice()
    if only is not None:
        return only
    with ExitStack() as stack:
        try:
            found = find_bands(ask(inputs, ()).inputs, None, bands, stack)
        except (InputError, RadiometryError):
            return _DEFAULT
        grid = found[0].grid
        known = grid.crs is not None and not grid.transform.is_identity and is_metric(grid.crs)
        names = [band.name for band in found]
        gsd_m = grid.gsd_m if known else None
        return choose_for_bands(names, gsd_m, address(found[0].path), every_branch=every_branch)


def _declaration(files: Sequence[Path], declared: Mapping[str, object] | None) -> Declaration:
    sensor = scene_radiometry(files, declared)
    with open_raster(files[0], virtual=True) as dataset:
        return Declaration(sensor, grid_of(dataset), file_name(files[0]))
