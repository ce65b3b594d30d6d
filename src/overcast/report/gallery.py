"""Picture panels of the report: the same chips for every result."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL, InputModalities
from overcast.evaluation.panels import decode_png, encode_png, error_map, probability_map, truth_map
from overcast.evaluation.selection import Panel, PanelKind
from overcast.report.data import ReportData, Result


@dataclass(frozen=True)
class Image:
    """A picture in the page."""

    title: str
    data: str
    """data: address of a PNG."""


@dataclass(frozen=True)
class Prediction:
    """What one result made of a chip."""

    name: str
    colour: int
    iou: float
    probability: Image
    errors: Image


@dataclass(frozen=True)
class ChipView:
    """A chip with the predictions of all results."""

    kind: PanelKind
    key: str
    place: str
    class_share: float
    """Share of the valid pixels that is the class."""
    inputs: tuple[Image, ...]
    """SAR, optical where there is one, truth."""
    lead: Prediction
    """Prediction of the leading result."""
    baselines: tuple[Prediction, ...]
    """Predictions of the other results that were given the same."""
    others: tuple[Prediction, ...]
    """Predictions of the results that were given something else."""


def _image(title: str, png: bytes) -> Image:
    return Image(title, "data:image/png;base64," + base64.b64encode(png).decode())


def gallery(data: ReportData) -> tuple[ChipView, ...]:
    """The chips that the leading result kept, with every result that kept them too."""
    kept = [(result, {panel.key: panel for panel in result.evaluation.panels}) for result in data.results]
    return tuple(
        _chip(data, panel, [(result, panels[panel.key]) for result, panels in kept if panel.key in panels])
        for panel in data.lead.evaluation.panels
    )


def _chip(data: ReportData, panel: Panel, found: list[tuple[Result, Panel]]) -> ChipView:
    inputs = []
    if panel.sar_png is not None:
        inputs.append(_image("SAR", panel.sar_png))
    if panel.optical_png is not None:
        given = data.lead.available is not InputModalities.SAR
        inputs.append(_image("optical" if given else "optical, not given", panel.optical_png))
    inputs.append(_image("truth", encode_png(truth_map(decode_png(panel.label_png)))))
    lead, *predictions = ((result, _prediction(data, result, other)) for result, other in found)
    same = tuple(prediction for result, prediction in predictions if result.available is data.lead.available)
    rest = tuple(prediction for result, prediction in predictions if result.available is not data.lead.available)
    share = panel.counts.positives / max(panel.counts.pixels, 1)
    return ChipView(panel.kind, panel.key, panel.place, share, tuple(inputs), lead[1], same, rest)


def _prediction(data: ReportData, result: Result, panel: Panel) -> Prediction:
    label: NDArray[np.uint8] = decode_png(panel.label_png)
    grey = decode_png(panel.probability_png)
    probability = grey.astype(np.float32) / 255
    threshold = result.evaluation.options.threshold
    return Prediction(
        name=result.name,
        colour=data.methods.index(result.method),
        iou=panel.counts.iou,
        probability=_image("probability", encode_png(probability_map(probability, label != IGNORE_LABEL))),
        errors=_image("errors", encode_png(error_map(probability, label, threshold))),
    )
