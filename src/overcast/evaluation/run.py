"""One pass over batches: predict, count, forget. Of a chip four integers remain; no pixel is kept but of the panels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overcast.batch import IGNORE_LABEL, Batch
from overcast.errors import BundleError, ConfigError, InputError
from overcast.evaluation.result import Evaluation, EvaluationOptions, PlaceCounts, Timing
from overcast.evaluation.selection import Candidate, PanelPicker
from overcast.metrics.average_precision import Detections, detections
from overcast.metrics.boundary import count_boundary
from overcast.metrics.calibration import CalibrationBins, bin_probabilities, count_calibration
from overcast.metrics.instances import (
    InstanceCounts,
    instances_from_probability,
    match_instances,
    outlines_from_label,
    outlines_of_instances,
)
from overcast.metrics.pixel import PixelCounts, count_thresholds
from overcast.metrics.polis import PolisSum, polis


def evaluate(
    predict: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    places: Mapping[str, str],
    gsd_m: float,
    options: EvaluationOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Count everything over a set of labelled chips.

    Args:
        predict: batch -> logits (B, 1, H, W) at label size; what it may look at (SAR alone, both) is its own matter.
            Batches may carry images that it ignores: they are only drawn. Where touching buildings are separated,
            logits of edge, contact or both follow.
        batches: with labels; their device and sizes may differ.
        places: place of every chip key, the unit of the bootstrap.
        gsd_m: metres per pixel, for areas, bands and PoLiS.
        options: what is counted.
        progress: called with the number of chips done since the last call.

    Raises:
        InputError: no chip at all, a chip twice or a chip without place.
        MissingModalityError: a batch without labels, or without what `predict` needs.
        BundleError: the model predicts NaN.
    """
    options = options or EvaluationOptions()
    tally = _Tally(places, gsd_m, options)
    start, predict_s = time.perf_counter(), 0.0
    with torch.inference_mode():
        for batch in batches:
            begin = time.perf_counter()
            probability = _probability(predict(batch), batch, options.separates)
            predict_s += time.perf_counter() - begin
            tally.add(batch, probability)
            if progress is not None:
                progress(len(batch))
    return tally.evaluation(predict_s, time.perf_counter() - start)


def _probability(logits: Tensor, batch: Batch, separates: bool) -> NDArray[np.float32]:
    """(B, K, H, W) float32 on the host, the footprint first."""
    label = batch.require("label")
    expected = logits.shape[1] > 1 if separates else logits.shape[1] == 1
    if logits.shape != (len(label), logits.shape[1], *label.shape[1:]) or not expected:
        needed = "the footprint's logit, then those of edge and contact," if separates else "one logit"
        raise ConfigError(
            f"the model predicts {tuple(logits.shape)} for labels of {tuple(label.shape)}; "
            f"evaluation needs {needed} per pixel of the label."
        )
    probability: NDArray[np.float32] = torch.sigmoid(logits.float()).cpu().numpy()
    finite = np.isfinite(probability).all(axis=(1, 2, 3))
    if not finite.all():
        key = batch.keys[int(np.argmin(finite))]
        raise BundleError(f"the model predicts NaN for chip {key!r}; its training diverged: train it again.")
    return probability


@dataclass(frozen=True)
class _Chip:
    """What a chip is counted from."""

    maps: NDArray[np.float32]
    """(K, H, W) probabilities."""
    label: NDArray[np.integer]
    """(H, W)."""
    buildings: NDArray[np.int32] | None
    """(H, W) numbers of the true buildings; None where connected pixels are one building."""

    @property
    def footprint(self) -> NDArray[np.float32]:
        """(H, W) probability of the class."""
        return np.asarray(self.maps[0])

    @property
    def boundaries(self) -> NDArray[np.float32] | None:
        """(H, W) probability of edge or contact; None where nothing is separated."""
        return None if self.buildings is None else np.asarray(self.maps[1:].max(0))


class _Tally:
    """Running sums of an evaluation."""

    def __init__(self, places: Mapping[str, str], gsd_m: float, options: EvaluationOptions) -> None:
        self._place_of = places
        self._gsd_m = gsd_m
        self._options = options
        self._places: dict[str, PlaceCounts] = {}
        self._chips: dict[str, PixelCounts] = {}
        self._calibration = CalibrationBins.empty(options.calibration_bins)
        self._instance_calibration = CalibrationBins.empty(options.calibration_bins)
        self._polis = PolisSum()
        self._detections = Detections()
        self._pixels = 0
        self._picker = PanelPicker(options.panels)

    def add(self, batch: Batch, probability: NDArray[np.float32]) -> None:
        """Count the samples of a batch; `probability` is (B, K, H, W)."""
        labels = batch.require("label").cpu().numpy()
        separates = self._options.separates
        buildings = batch.require("instances").cpu().numpy() if separates else [None] * len(labels)
        for index, key in enumerate(batch.keys):
            if key not in self._place_of:
                raise InputError(f"chip {key!r} has no place; list its place with the others.")
            if key in self._chips:
                raise InputError(f"chip {key!r} came twice; list each chip once.")
            place = self._place_of[key]
            chip = _Chip(probability[index], labels[index], buildings[index])
            counts = self._count(chip)
            self._places[place] = self._places[place] + counts if place in self._places else counts
            self._chips[key] = counts.curve.at(self._options.threshold)
            self._pixels += labels[index].size
            self._picker.offer(Candidate(batch, index, place, self._chips[key], chip.footprint))

    def _count(self, chip: _Chip) -> PlaceCounts:
        options, probability, label = self._options, chip.footprint, chip.label
        self._calibration += count_calibration(probability, label, options.calibration_bins)
        predicted = probability >= options.threshold
        return PlaceCounts(
            curve=count_thresholds(probability, label, options.thresholds),
            instances=self._count_instances(chip) if options.instances else InstanceCounts(),
            boundary=count_boundary(predicted, label, self._gsd_m, options.boundary_m),
        )

    def _count_instances(self, chip: _Chip) -> InstanceCounts:
        options, gsd_m = self._options, self._gsd_m
        least = options.min_area_m2
        claims = instances_from_probability(
            chip.footprint, chip.label != IGNORE_LABEL, gsd_m, options.threshold, least, chip.boundaries
        )
        if chip.buildings is None:
            truths = outlines_from_label(chip.label, gsd_m, least)
        else:
            truths = outlines_of_instances(chip.buildings, chip.label, gsd_m, least)
        matching = match_instances(claims, truths, options.min_area_m2)
        for match in matching.matches:
            self._polis += PolisSum(polis(claims[match.prediction].outline, truths[match.truth]), 1)
        confidences = [claims[index].confidence for index in matching.predictions]
        self._detections += detections(confidences, matching.candidates, len(matching.truths))
        hits = {match.prediction for match in matching.matches}
        self._instance_calibration += bin_probabilities(
            np.array(confidences),
            np.array([index in hits for index in matching.predictions], bool),
            options.calibration_bins,
        )
        return matching.counts

    def evaluation(self, predict_s: float, total_s: float) -> Evaluation:
        """The sums as a frozen result."""
        if not self._chips:
            raise InputError("there are no chips to evaluate; choose a split that has some.")
        return Evaluation(
            options=self._options,
            gsd_m=self._gsd_m,
            places=dict(sorted(self._places.items())),
            chips=self._chips,
            calibration=self._calibration,
            instance_calibration=self._instance_calibration,
            polis=self._polis,
            detections=self._detections,
            timing=Timing(len(self._chips), self._pixels, predict_s, total_s),
            panels=self._picker.panels(),
        )
