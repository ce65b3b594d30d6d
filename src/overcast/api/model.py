"""A trained model as users handle it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from overcast.batch import Modality
from overcast.bundle.bundle import BUNDLED, CARD, Bundle, load_bundle
from overcast.installed.folders import model_folder
from overcast.raster.radiometry import SensorRadiometry


@dataclass(frozen=True)
class Model:
    """A trained model: its weights and the pixels that it understands. Made by `load_model`."""

    bundle: Bundle
    """Weights, network and the whole record. This is internal and may change."""

    @property
    def name(self) -> str:
        """Name of the folder that the model was loaded from, or of its run."""
        return self.bundle.name

    @property
    def class_name(self) -> str:
        """What the model finds: `building`, `flood`, ..."""
        return self.bundle.info.class_name

    @property
    def inputs(self) -> tuple[SensorRadiometry, ...]:
        """Bands, unit, nodata, pixel size in metres and radar side of each image that the model needs."""
        radiometry = self.bundle.info.radiometry
        sensors = {Modality.SAR: radiometry.sar, Modality.OPTICAL: radiometry.optical}
        return tuple(sensor for modality in self.bundle.info.inputs if (sensor := sensors[modality]) is not None)

    @property
    def licence(self) -> str:
        """Licence of the weights: an SPDX identifier, or words."""
        return self.bundle.info.licence

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Scores of these weights: subset and modalities, for example `validation sar`, to metric and value."""
        return self.bundle.info.metrics

    @property
    def card(self) -> str:
        """The model card, as Markdown."""
        return (self.bundle.path / CARD).read_text(encoding="utf-8")

    def __repr__(self) -> str:
        """Name, class and inputs on one line."""
        needs = " + ".join(f"{', '.join(s.bands)} in {s.unit.value} at {s.gsd_m:g} m" for s in self.inputs)
        return f"Model({self.name!r}: {self.class_name} from {needs})"


def load_model(path: str | Path | None = None, *, full: bool = False) -> Model:
    """Load a model.

    Args:
        path: The name of an installed model (`overcast models` lists them), a run folder of `train`, or a bundle
            folder. Where a folder has the name of an installed model, write `./NAME` or give a `Path`. None loads
            the first model that is installed with Overcast.
        full: Load every branch of a run folder, as `predict` needs them to use an optical image too.

    Raises:
        BundleError: There is no such model, or a file of it is missing, damaged or made by another version.

    Example:
        >>> load_model().class_name
        'building'
    """
    return Model(load_bundle(BUNDLED if path is None else model_folder(path, full=full)))
