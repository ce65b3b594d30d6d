"""Which installed model takes a scene, and why: by what the scene declares and the models' records alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from overcast.bundle.contract import ModelContract
from overcast.errors import BundleError, OvercastError, RadiometryError
from overcast.installed.folders import InstalledModel, installed_models
from overcast.installed.summary import ModelSummary, needs_of, read_summary
from overcast.raster.compass import turn_for
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import SensorRadiometry

COARSER = 1.5
"""How much coarser than a model's pixels those of an input may be that is to be prepared for it."""


@dataclass(frozen=True)
class Choice:
    """A model and the reason for it."""

    model: InstalledModel
    why: str

    @property
    def sentence(self) -> str:
        """For people, on one line.

        >>> from pathlib import Path
        >>> Choice(InstalledModel("roofs", Path("roofs"), packaged=False), "the only one installed").sentence
        'model roofs: the only one installed'
        """
        return f"model {self.model.name}: {self.why}"


@dataclass(frozen=True)
class Declaration:
    """What a scene says of itself."""

    sensor: SensorRadiometry
    grid: Georeference
    name: str


def sole_choice() -> Choice | None:
    """The model where there is no choice, whatever the scene; None where several are installed."""
    summaries, _ = _readable()
    return Choice(summaries[0].model, _origin(summaries[0])) if len(summaries) == 1 else None


def choose(declaration: Callable[[ModelContract], Declaration], *, every_branch: bool = False) -> Choice:
    """The installed model that takes a scene as it is.

    Where several do, it is the one that uses an optical image, if `every_branch` asks for that; then the one whose
    pixels are nearest in size; then one that saw measured images; then one that the user added; then by name.

    Args:
        declaration: What a scene declares, given what a model takes (which assets of a record are meant may depend on
            that). An OvercastError that it raises is the reason why the model does not fit.
        every_branch: An optical image is to be used.

    Raises RadiometryError where none fits: one sentence for each model.
    """
    only = sole_choice()
    if only is not None:
        return only
    summaries, reasons = _readable()
    fitting: list[tuple[ModelSummary, Declaration]] = []
    for summary in summaries:
        try:
            fitting.append((summary, _fitting(summary, declaration)))
        except OvercastError as error:
            reasons.append(str(error))
    if not fitting:
        raise RadiometryError("no installed model takes the scene as it is. " + " ".join(dict.fromkeys(reasons)))
    ranked = sorted(fitting, key=lambda found: (every_branch and not found[0].every_branch, *_rank(*found)))
    summary, found = ranked[0]
    others = f", the closest of {len(fitting)} that fit" if len(fitting) > 1 else ""
    return Choice(summary.model, f"takes {needs_of(found.sensor)}, as declared{others}; {_origin(summary)}")


def choose_for_bands(bands: Sequence[str], gsd_m: float | None, name: str, *, every_branch: bool = False) -> Choice:
    """The installed model that an input can be prepared for: the one that uses most of its bands.

    With `every_branch` one that uses an optical image comes first.

    Args:
        bands: Names of what there is.
        gsd_m: Pixel size; None where it is not known.
        name: Of the input, for messages.
        every_branch: An optical image is to be used.

    Raises RadiometryError where none fits: one sentence for each model.
    """
    summaries, reasons = _readable()
    fitting = []
    for summary in summaries:
        reason = _why_not_prepared(summary, bands, gsd_m)
        if reason is None:
            fitting.append(summary)
        else:
            reasons.append(f"model {summary.model.name} {reason}")
    if not fitting:
        has = f"{', '.join(bands)}{'' if gsd_m is None else f' at {gsd_m:.3g} m'}"
        raise RadiometryError(
            f"{name} has {has}, which no installed model takes: {'; '.join(reasons)}; add what is missing "
            "(HV=FILE), or name another model (--model)."
        )

    def order(summary: ModelSummary) -> tuple[object, ...]:
        return (every_branch and not summary.every_branch, -len(_bands(summary)), *_order(summary, gsd_m))

    best = min(fitting, key=order)
    return Choice(best.model, f"takes {best.needs}, of {', '.join(bands)}; {_origin(best)}")


def _readable() -> tuple[list[ModelSummary], list[str]]:
    """Models that map images of one sensor; what is wrong with the records of the others."""
    found, reasons = [], []
    for model in installed_models():
        try:
            summary = read_summary(model)
        except BundleError as error:
            reasons.append(str(error))
            continue
        if summary.contract is not None:
            found.append(summary)
    if not found:
        raise BundleError(" ".join(["no installed model can be used; install Overcast again.", *reasons]))
    return found, reasons


def _fitting(summary: ModelSummary, declaration: Callable[[ModelContract], Declaration]) -> Declaration:
    """What the scene declares for this model; raises the error that says why it does not fit."""
    assert summary.contract is not None
    found = declaration(summary.contract)
    turn_for(summary.contract.sensor, f"model {summary.model.name}", found.sensor, found.grid, found.name)
    return found


def _why_not_prepared(summary: ModelSummary, bands: Iterable[str], gsd_m: float | None) -> str | None:
    assert summary.contract is not None
    known = {band.upper() for band in bands}
    missing = [band for band in _bands(summary) if not known.intersection(band.upper().split("|"))]
    if missing:
        return f"needs {', '.join(missing)} too"
    wanted = summary.contract.sensor.gsd_m
    if gsd_m is not None and gsd_m > COARSER * wanted:
        return f"needs pixels of {wanted:g} m"
    return None


def _bands(summary: ModelSummary) -> tuple[str, ...]:
    return () if summary.contract is None else summary.contract.sensor.bands


def _rank(summary: ModelSummary, found: Declaration) -> tuple[float, bool, bool, str]:
    return _order(summary, found.sensor.gsd_m)


def _order(summary: ModelSummary, gsd_m: float | None) -> tuple[float, bool, bool, str]:
    assert summary.contract is not None
    apart = 0.0 if gsd_m is None else round(abs(math.log(gsd_m / summary.contract.sensor.gsd_m)), 2)
    return apart, summary.simulated, summary.model.packaged, summary.model.name


def _origin(summary: ModelSummary) -> str:
    where = "installed with Overcast" if summary.model.packaged else "added by you"
    return f"{where}, trained on {'simulated radar' if summary.simulated else summary.data}"
