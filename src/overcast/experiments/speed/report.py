"""What was measured, for people and as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from overcast.arithmetic import Capabilities, Precision, capabilities
from overcast.evaluation.machine import describe_machine
from overcast.experiments.speed.scene import Bench, Request, Row

REFERENCE_GSD_M = 0.5
"""Pixel size of SpaceNet 6, at which speeds are compared."""


def facts(threads: int) -> dict[str, Any]:
    """When and on what."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{describe_machine()}; {threads} threads used",
        "load_before": load,
    }


def plain(found: Bench, about: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, for JSON."""
    values = about | asdict(found) | {"fastest_bare": asdict(found.fastest_bare)}
    values["request"]["model"] = found.request.model.name
    return values


def text(found: Bench, about: dict[str, Any]) -> str:
    """Tables of 80 columns and a conclusion."""
    request, km2 = found.request, found.km2
    load = "" if about["load_before"] is None else f"; load {about['load_before']:.1f} before it began"
    measured = [row for row in found.rows if row.measured is not None]
    heads = ("scene s/km2", "bare s/km2", "overhead", "ready first", "ready again")
    lines = [
        f"{about['date']}; {about['machine']}{load}",
        f"model {request.model.name}; tiles of up to {request.tile} px; {request.rounds} rounds",
        f"scene {request.size_px} x {request.size_px} px, {km2:.3g} km2, seed {request.seed}",
        f"compression of its file: {request.storage}",
        "",
        _line("elapsed", heads),
        *(_line(row.case.name, _rates(row, km2, processor=False)) for row in measured),
        _line("processor time", heads),
        *(_line(row.case.name, _rates(row, km2, processor=True)) for row in measured),
        _line("memory, accuracy", ("peak MB", "over bare", "IoU", "points lost", "other class")),
        *(_line(row.case.name, _accuracy(row, found.rows[0])) for row in measured),
        "",
        _conclusion(found, measured),
        *left_out(request, capabilities()),
        *(f"{row.case.name} could not be measured: {row.failure}" for row in found.rows if row.failure is not None),
    ]
    return "\n".join(lines)


def left_out(request: Request, found: Capabilities) -> list[str]:
    """The sentence about what was not measured since the device only emulates it; none where nothing was left out."""
    if Precision.BF16 in request.precisions or found.native_bf16(request.device):
        return []
    return [f"bf16 was left out: {request.device} only emulates it here; --precision bf16 measures it all the same."]


def _conclusion(found: Bench, measured: list[Row]) -> str:
    best = min((row.measured for row in measured if row.measured is not None), key=lambda one: one.scene.elapsed)
    least, scene_s = found.fastest_bare.elapsed, best.scene.elapsed
    same_tiles = best.bare.elapsed * found.computed
    spent = (best.scene.processor, best.bare.processor * found.computed, best.reading.processor)
    work, network, reading = (f"{seconds / found.km2:.3g}" for seconds in spent)
    return (
        f"fastest: {best.label}: {scene_s / found.km2:.3g} s/km2; the bare network at its fastest "
        f"{least / found.km2:.3g} s/km2; overhead {scene_s / least - 1:.0%}\n"
        f"overlap makes the network compute {found.computed - 1:.1%} more; on the same tiles it takes "
        f"{same_tiles / found.km2:.3g} s/km2, {same_tiles / scene_s:.1%} of the scene's time\n"
        f"processor time: {work} s/km2, of which the network on the same tiles {network}, reading alone {reading}\n"
        f"pixels of {found.gsd_m:g} m; of 0.5 m: {scene_s / found.km2 * (found.gsd_m / REFERENCE_GSD_M) ** 2:.3g} s/km2"
    )


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:18}" + "".join(f"{cell:>12}" for cell in cells)


def _rates(row: Row, km2: float, *, processor: bool) -> list[str]:
    measured, first = row.measured, row.first_ready
    assert measured is not None
    assert first is not None
    times = (measured.scene, measured.bare, first, measured.ready)
    scene, bare, *ready = (one.processor if processor else one.elapsed for one in times)
    return [f"{scene / km2:.3f}", f"{bare / km2:.3f}", f"{scene / bare - 1:.0%}", *(f"{one:.1f} s" for one in ready)]


def _accuracy(row: Row, reference: Row) -> list[str]:
    measured, agreement, own = row.measured, row.agreement, reference.agreement
    assert measured is not None
    assert agreement is not None
    assert own is not None
    memory = ["", ""]
    if measured.peak_mb is not None and measured.bare_mb is not None:
        memory = [f"{measured.peak_mb:.0f}", f"{measured.peak_mb - measured.bare_mb:.0f}"]
    accuracy = ["", ""]
    if agreement.iou is not None and own.iou is not None:
        accuracy = [f"{100 * agreement.iou:.2f}", f"{100 * (own.iou - agreement.iou):+.3f}"]
    return [*memory, *accuracy, f"{agreement.differing:.4%}"]
