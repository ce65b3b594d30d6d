"""What the record of an installed model says, for lists and for the choice; read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from overcast.bundle.contract import LARGEST_RECORD_BYTES, RECORD, WEIGHTS, ModelContract, read_contract
from overcast.errors import BundleError
from overcast.installed.folders import InstalledModel
from overcast.raster.radiometry import SensorRadiometry
from overcast.reading import read_json_object, shortened, validated


class _Named(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    licence: str
    simulated: bool = False


class _Record(BaseModel):
    """What is read here of a record; `load_bundle` reads and checks all of it."""

    model_config = ConfigDict(frozen=True)

    class_name: str
    licence: str
    kind: str
    inputs: tuple[str, ...]
    data: _Named
    metrics: dict[str, dict[str, float]]
    weights_sha256: str
    storage: str | None = None


@dataclass(frozen=True)
class ModelSummary:
    """What people want to know of an installed model."""

    model: InstalledModel
    contract: ModelContract | None
    """Contract of the image that the model maps; None where it needs two sensors."""
    class_name: str
    licence: str
    """Licence of the weights."""
    data: str
    """What it was trained on, with the licence of that."""
    simulated: bool
    """True where it saw no measured image."""
    every_branch: bool
    """True where it can use an optical image too, or be trained on."""
    figure: str
    """IoU on the test places, else on the validation places; empty where none was measured."""
    sha256: str
    """SHA-256 of the weights."""
    storage: str | None
    """How the weights are stored; None: not known."""
    size_bytes: int

    @property
    def needs(self) -> str:
        """Bands, unit and pixel size in words."""
        return "images of two sensors" if self.contract is None else needs_of(self.contract.sensor)


def needs_of(sensor: SensorRadiometry) -> str:
    """Bands, unit and pixel size in words.

    >>> needs_of(SensorRadiometry(bands=("VV", "VH"), unit="dB", gsd_m=10))
    'VV, VH in dB at 10 m'
    """
    return shortened(f"{', '.join(sensor.bands)} in {sensor.unit.value} at {sensor.gsd_m:.3g} m")


def read_summary(model: InstalledModel) -> ModelSummary:
    """The summary of an installed model. Raises BundleError where its record is missing or damaged."""
    contract, remedy = read_contract(model.folder), "remove the model and add it again"
    path = model.folder / RECORD
    content = read_json_object(path, BundleError, remedy, LARGEST_RECORD_BYTES)
    record = validated(_Record, content, str(path), BundleError, remedy)
    try:
        size_bytes = (model.folder / WEIGHTS).stat().st_size
    except OSError as error:
        raise BundleError(f"{model.folder} has no {WEIGHTS}; {remedy}.") from error
    return ModelSummary(
        model,
        contract,
        class_name=shortened(record.class_name),
        licence=shortened(record.licence),
        data=shortened(f"{record.data.name} ({record.data.licence})"),
        simulated=record.data.simulated,
        every_branch=record.kind == "full",
        figure=_figure(record),
        sha256=record.weights_sha256,
        storage=record.storage,
        size_bytes=size_bytes,
    )


def _figure(record: _Record) -> str:
    for subset in ("test", "validation"):
        for given in ("sar", *record.inputs, "both"):
            iou = record.metrics.get(f"{subset} {given}", {}).get("iou")
            if iou is not None:
                return f"IoU {iou:.3f} ({subset}{', simulated' if record.data.simulated else ''})"
    return ""
