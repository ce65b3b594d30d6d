"""What the report says in words: headline and caveats, derived from the results."""

from __future__ import annotations

from dataclasses import dataclass

from overcast.batch import InputModalities
from overcast.evaluation.comparison import paired_difference, recovery_ratio
from overcast.evaluation.seeds import SeedEstimate
from overcast.report.data import ReportData, Result, available_text
from overcast.report.tables import interval_text

FEW_PLACES = 10
"""Below this an interval over places is only a rough guide."""
ZEROED = (InputModalities.BOTH_OPTICAL_ZERO, InputModalities.BOTH_OPTICAL_MEAN)


@dataclass(frozen=True)
class Figure:
    """A headline number."""

    name: str
    value: str
    note: str


def _control(data: ReportData) -> Result | None:
    found = data.find(data.control, data.lead.available)
    return None if found is data.lead else found


def _ceiling(data: ReportData) -> Result | None:
    found = data.find(data.ceiling, InputModalities.BOTH)
    return None if found is data.lead else found


def difference(data: ReportData) -> SeedEstimate | None:
    """IoU of the leading result minus its control's; None without a control."""
    control = _control(data)
    if control is None:
        return None
    return paired_difference(data.lead.evaluation.pixels_by_place, control.evaluation.pixels_by_place)


def recovery(data: ReportData) -> SeedEstimate | None:
    """Recovery ratio of the leading result; None without control or ceiling, or where nothing can be recovered."""
    control, ceiling = _control(data), _ceiling(data)
    if control is None or ceiling is None:
        return None
    lead, low, high = (result.evaluation.pixels_by_place for result in (data.lead, control, ceiling))
    return recovery_ratio(lead, low, high)


def figures(data: ReportData) -> tuple[Figure, ...]:
    """Headline numbers, most important first."""
    evaluation = data.lead.evaluation
    interval = evaluation.iou_interval()
    note = "one place: no interval" if interval is None else f"95 %: {interval_text(interval)}"
    found = [Figure(f"IoU, {data.lead.name}", f"{evaluation.pixels.iou:.3f}", note)]
    if evaluation.options.instances:
        counts = evaluation.total.instances
        note = f"{counts.tp} of {counts.tp + counts.fn} found, {counts.fp} false alarms"
        found.append(Figure("Instance F1 at IoU 0.5", f"{counts.f1:.3f}", note))
    if (gain := difference(data)) is not None:
        note = "no interval" if gain.interval is None else f"95 %: {gain.interval.text(3, signed=True)}"
        found.append(Figure(f"IoU above {data.control}", f"{gain.value:+.3f}", note))
    if (share := recovery(data)) is not None:
        note = "no interval" if share.interval is None else f"95 %: {share.interval.text(2)}"
        found.append(Figure("Recovery ratio", f"{share.value:.2f}", note))
    return tuple(found)


def sentences(data: ReportData) -> tuple[str, ...]:
    """The findings in plain words."""
    lead, evaluation = data.lead, data.lead.evaluation
    interval = evaluation.iou_interval()
    places = len(evaluation.places)
    spread = "" if interval is None else f" (95 % interval {interval_text(interval)} over {places} places)"
    score = f"with an IoU of {evaluation.pixels.iou:.3f}{spread}"
    found = [f"Given {available_text(lead.available)}, {lead.method} maps the class {data.class_name} {score}."]
    if (gain := difference(data)) is not None:
        found.append(_comparison(data, gain))
    if (ceiling := _ceiling(data)) is not None:
        text = f"{ceiling.method}, which sees both sensors, reaches {ceiling.evaluation.pixels.iou:.3f}"
        share = recovery(data)
        if share is None:
            found.append(f"{text}.")
        else:
            part = f"{share.value * 100:.0f}\N{NO-BREAK SPACE}%" if share.value > 0 else "nothing"
            found.append(f"{text}: of this gap above {data.control}, {lead.method} brings back {part}.")
    return tuple(found)


def _comparison(data: ReportData, gain: SeedEstimate) -> str:
    control = _control(data)
    assert control is not None
    score = f"{control.evaluation.pixels.iou:.3f}"
    text = f"Its control, {control.method}, reaches {score}; the paired difference is {gain.value:+.3f}"
    if gain.interval is None:
        return f"{text}, without an interval."
    verdict = "the interval includes 0, so no difference is shown" if 0 in gain.interval else "the interval excludes 0"
    return f"{text} ({gain.interval.text(3, signed=True)}): {verdict}."


def caveats(data: ReportData) -> tuple[str, ...]:
    """What a reader must keep in mind: the given sentences first, then those that follow from the results."""
    evaluation = data.lead.evaluation
    found = list(data.caveats)
    places = len(evaluation.places)
    if places == 1:
        found.append("All chips come from one place, so there is no interval: the scores may not hold elsewhere.")
    elif places < FEW_PLACES:
        found.append(f"An interval over only {places} places is a rough guide.")
    if evaluation.boundary_band_m > evaluation.options.boundary_m:
        found.append(
            f"The pixels are coarser than the band of {evaluation.options.boundary_m:g} m; "
            f"boundary IoU uses one pixel, {evaluation.boundary_band_m:g} m."
        )
    if any(result.available in ZEROED for result in data.results):
        found.append(
            "Optical set to zero, or to its mean, is not a method: it shows what a model that expects both sensors "
            "does when the optical image is missing."
        )
    found.append("Each method is one training run; runs with other seeds differ.")
    return tuple(found)
