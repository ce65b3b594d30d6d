"""What can be refused before a network, or a library for one, is loaded: seconds earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from overcast.bundle.contract import ModelContract
from overcast.outputs.staging import unfinished
from overcast.outputs.writable import require_writable
from overcast.raster.addresses import address, file_name
from overcast.raster.compass import turn_for
from overcast.raster.files import grid_of, open_raster
from overcast.raster.pixel_size import require_pixels
from overcast.raster.radiometry import SensorRadiometry
from overcast.scenes.declare import scene_radiometry


def look_ahead(
    files: Sequence[Path],
    declared: Mapping[str, object],
    contract: ModelContract | None,
    targets: Sequence[Path],
    *,
    overwrite: bool,
) -> SensorRadiometry:
    """What a scene declares, after everything that needs no pixel and no network has been compared with the model's.

    Args:
        files: Of the scene, in order of their bands.
        declared: Parts that the user gives.
        contract: Of the model; None where it says nothing about one sensor alone.
        targets: Outputs that are named.
        overwrite: They may exist; so may those of a run that was killed, which is taken up again later.

    Raises:
        RadiometryError: Something is not declared, impossible, or not what the model was trained for.
        InputError: A file is missing, unreadable or in radar geometry; an output cannot be written.
    """
    sensor = scene_radiometry(files, declared)
    with open_raster(files[0], virtual=True) as dataset:
        grid = grid_of(dataset)
    if contract is not None:
        turn_for(contract.sensor, f"model {contract.name}", sensor, grid, file_name(files[0]))
    require_pixels(grid, sensor.gsd_m, address(files[0]))
    replaceable = overwrite or unfinished(targets)
    for target in targets:
        require_writable(target, overwrite=replaceable)
    return sensor
