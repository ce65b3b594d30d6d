"""What the record of a model says of the images that it takes; read without its weights, or any library for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from overcast.errors import BundleError
from overcast.raster.radiometry import BandStatistics, Radiometry, SensorRadiometry, Statistics
from overcast.reading import read_json_object, validated

RECORD = "bundle.json"
"""The record of a bundle, in its folder."""
WEIGHTS, CARD, ITEM = "model.safetensors", "README.md", "stac.json"
"""Its weights, its model card and its STAC item."""
LARGEST_RECORD_BYTES = 4 * 2**20
INSTALLED = Path(__file__).parents[1] / "weights" / "buildings-simulated-1m"
"""The bundle that is installed with the package."""
_OF_A_RUN = ("bundle", "full")
"""Names of the bundles that every run has; the run's own name distinguishes them."""


@dataclass(frozen=True)
class ModelContract:
    """The pixels that a model for one sensor understands."""

    name: str
    """Name of the bundle's folder, or of the run that it is a result of."""
    sensor: SensorRadiometry
    statistics: BandStatistics
    sha256: str
    """SHA-256 of the weights."""

    @property
    def identity(self) -> str:
        """Name and the beginning of the hash, for people."""
        return f"{self.name} {self.sha256[:12]}"


class _Record(BaseModel):
    """What is read here of a record; `load_bundle` reads and checks all of it."""

    model_config = ConfigDict(frozen=True)

    inputs: tuple[str, ...]
    radiometry: Radiometry
    statistics: Statistics
    weights_sha256: str


def bundle_folder(model: Path, *, full: bool = False) -> Path:
    """The bundle of a run folder, that of every branch if `full`, else the folder itself."""
    kind = "full" if full else "bundle"
    return model / kind if (model / kind).is_dir() else model


def bundle_name(path: Path) -> str:
    """What a bundle is called: its folder, or the run that it is a result of.

    >>> bundle_name(Path("runs/town/bundle")), bundle_name(Path("models/roofs"))
    ('town', 'roofs')
    """
    if path.name and path.name not in _OF_A_RUN:
        return path.name
    full = path.resolve()
    return full.parent.name if full.name in _OF_A_RUN and full.parent.name else full.name


def read_contract(path: Path) -> ModelContract | None:
    """The contract of a bundle; None where it needs images of two sensors, which loading it says.

    Raises BundleError where the record is missing or damaged.
    """
    if not (path / RECORD).is_file():
        raise BundleError(f"{path} is not a complete bundle, {RECORD} is missing: copy the whole folder again.")
    remedy = "copy the bundle again"
    content = read_json_object(path / RECORD, BundleError, remedy, LARGEST_RECORD_BYTES)
    record = validated(_Record, content, str(path / RECORD), BundleError, remedy)
    radiometry, statistics = record.radiometry, record.statistics
    sensors = {"sar": (radiometry.sar, statistics.sar), "optical": (radiometry.optical, statistics.optical)}
    sensor, level = sensors.get(record.inputs[0], (None, None)) if len(record.inputs) == 1 else (None, None)
    if sensor is None or level is None:
        return None
    return ModelContract(bundle_name(path), sensor, level, record.weights_sha256)


def require_contract(path: Path) -> ModelContract:
    """The same. Raises BundleError too where the model needs images of two sensors."""
    contract = read_contract(path)
    if contract is None:
        raise BundleError(
            f"model {bundle_name(path)} needs images of two sensors and cannot map a scene of one; use one that works "
            "from SAR alone, such as cmhcl."
        )
    return contract
