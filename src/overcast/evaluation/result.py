"""What an evaluation found: counts per place from which every figure and every interval follows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from overcast.atomic import write_atomic
from overcast.choices import Separation, Tta
from overcast.errors import InputError
from overcast.evaluation.selection import Panel, PanelKind, PanelOptions
from overcast.metrics.average_precision import Detections
from overcast.metrics.bootstrap import Interval
from overcast.metrics.boundary import BoundaryCounts, band_width_px
from overcast.metrics.calibration import CalibrationBins
from overcast.metrics.counts import Count, Sums
from overcast.metrics.instances import SPACENET6_MIN_AREA_M2, InstanceCounts
from overcast.metrics.pixel import PixelCounts, ThresholdCounts, bootstrap_iou
from overcast.metrics.polis import PolisSum
from overcast.reading import read_record
from overcast.reading.files import LARGEST_DATA_BYTES
from overcast.section import Section


class EvaluationOptions(Section):
    """What is counted, and how."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A pixel is predicted where its probability is at least this."""
    curve_steps: int = Field(default=20, ge=2, le=200)
    """The curves have thresholds k / steps, and `threshold` itself."""
    min_area_m2: float = Field(default=SPACENET6_MIN_AREA_M2, ge=0)
    """Smaller instances count on neither side."""
    boundary_m: float = Field(default=1.0, gt=0)
    """Width of the band of boundary IoU; at least one pixel is used."""
    calibration_bins: int = Field(default=15, ge=1)
    instances: bool = True
    """Trace and match instances (and PoLiS); False saves time where outlines mean nothing."""
    tta: Tta = Tta.OFF
    """Views of each chip whose probabilities were averaged: done by `predict`, kept here for the record."""
    separate: Separation = Separation.OFF
    """Whether touching buildings are separated before they are matched, along edges and contacts that `predict` gives
    beside the footprint, and true buildings taken as batches separate them (`Batch.instances`)."""
    panels: PanelOptions = PanelOptions()
    """Chips kept for the report."""

    @property
    def separates(self) -> bool:
        """True where touching buildings are separated: where instances are counted at all."""
        return self.instances and self.separate is Separation.WATERSHED

    @property
    def thresholds(self) -> tuple[float, ...]:
        """All thresholds counted, rising."""
        steps = {step / self.curve_steps for step in range(1, self.curve_steps)}
        return tuple(sorted(steps | {self.threshold}))


@dataclass(frozen=True, slots=True)
class PlaceCounts(Sums):
    """Everything counted at one place. Counts add."""

    curve: ThresholdCounts
    instances: InstanceCounts
    boundary: BoundaryCounts


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall-clock time of an evaluation."""

    chips: Count
    pixels: Count
    """All pixels that went through the model, valid or not."""
    predict_s: float
    """Inside the model, the transfer of its output included."""
    total_s: float
    """Reading, predicting and counting."""

    def predict_s_per_km2(self, gsd_m: float) -> float:
        """Seconds of prediction per square kilometre of ground."""
        return self.predict_s / (self.pixels * gsd_m**2 / 1e6)


class Evaluation(Section):
    """A frozen result that round-trips through JSON without losing a count."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    options: EvaluationOptions
    gsd_m: float = Field(gt=0)
    places: dict[str, PlaceCounts] = Field(min_length=1)
    chips: dict[str, PixelCounts]
    """Counts of each chip at the threshold, by key."""
    calibration: CalibrationBins
    """Over pixels."""
    instance_calibration: CalibrationBins
    """Over predicted footprints: confidence against being matched."""
    polis: PolisSum
    """Over matched footprints."""
    detections: Detections = Detections()
    """Every predicted footprint with what it matched."""
    timing: Timing
    panels: tuple[Panel, ...] = ()

    @model_validator(mode="after")
    def _counted_alike(self) -> Self:
        if any(counts.curve.thresholds != self.options.thresholds for counts in self.places.values()):
            raise ValueError("the places are not counted at the thresholds of the options")
        return self

    @property
    def total(self) -> PlaceCounts:
        """Counts of the whole set."""
        first, *others = self.places.values()
        return sum(others, first)

    @property
    def pixels(self) -> PixelCounts:
        """Pixel counts of the whole set at the threshold."""
        return self.total.curve.at(self.options.threshold)

    @property
    def pixels_by_place(self) -> dict[str, PixelCounts]:
        """Pixel counts of each place at the threshold: what the bootstrap resamples."""
        return {place: counts.curve.at(self.options.threshold) for place, counts in self.places.items()}

    @property
    def instance_ece(self) -> float | None:
        """Expected calibration error of a footprint's confidence as the chance that it matches a true one.

        None where instances were not counted, or none was predicted.
        """
        return self.instance_calibration.ece if self.options.instances and self.instance_calibration.total else None

    @property
    def panel_keys(self) -> dict[str, PanelKind]:
        """The chips shown; give them to the `PanelOptions` of the next method."""
        return {panel.key: panel.kind for panel in self.panels}

    @property
    def boundary_band_m(self) -> float:
        """Width of the band that boundary IoU really used."""
        return band_width_px(self.options.boundary_m, self.gsd_m) * self.gsd_m

    def iou_interval(self, seed: int = 0, resamples: int = 1000) -> Interval | None:
        """95 % interval of the set's IoU over places; None with fewer than two places."""
        return bootstrap_iou(self.pixels_by_place, seed, resamples)

    def summary(self) -> dict[str, float]:
        """Flat figures for a table, a CSV row or a model card. What does not exist is left out."""
        total, pixels = self.total, self.pixels
        figures = {"iou": pixels.iou, "f1": pixels.f1, "precision": pixels.precision, "recall": pixels.recall}
        if interval := self.iou_interval():
            figures |= {"iou_low": interval.low, "iou_high": interval.high}
        if self.options.instances:
            instances = total.instances
            figures |= {
                "instance_f1": instances.f1,
                "instance_precision": instances.precision,
                "instance_recall": instances.recall,
            }
        if self.options.instances and self.detections.ap is not None and self.detections.ap50 is not None:
            figures |= {"ap": self.detections.ap, "ap50": self.detections.ap50}
        if self.polis.mean_m is not None:
            figures["polis_m"] = self.polis.mean_m
        figures |= {"boundary_iou": total.boundary.iou, "ece": self.calibration.ece, "brier": self.calibration.brier}
        if self.instance_ece is not None:
            figures["instance_ece"] = self.instance_ece
        return figures | {"places": len(self.places), "chips": len(self.chips)}

    def to_json(self) -> str:
        """JSON text."""
        return self.model_dump_json()

    def write(self, path: Path) -> None:
        """Write `to_json` to a file, complete or not at all."""
        write_atomic(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises InputError that names the file."""
        return read_record(cls, path, InputError, "run the evaluation again", LARGEST_DATA_BYTES)
