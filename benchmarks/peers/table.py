"""The table of a run, in Markdown."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overcast.evaluation.machine import describe_machine

HEADS = (
    "| | load, s | s | processor s | peak MB | above runtime, MB | seams (untiled there) | polygons cut (elsewhere) "
    "| polygons | IoU | mean difference | tiles |"
)


@dataclass(frozen=True)
class Row:
    """What was measured of a peer, or why not."""

    name: str
    label: str
    facts: dict[str, Any] = field(default_factory=dict)
    """As printed by the adapter."""
    comparison: dict[str, Any] = field(default_factory=dict)
    """With the untiled result."""
    failure: str | None = None
    spread: tuple[float, float] | None = None
    """Least and most seconds of several runs."""

    def line(self) -> str:
        """Of the table."""
        if self.failure is not None:
            return f"| {self.label} | {self.failure} |" + " |" * 10
        facts, found = self.facts, self.comparison
        above = facts["peak_mb"] - facts["base_mb"]
        seams = "" if found["seam"] is None else f"{found['seam']:.3f} ({found['seam_untiled']:.3f})"
        spread = "" if self.spread is None else f" ({self.spread[0]:.1f} to {self.spread[1]:.1f})"
        cells = [
            self.label,
            f"{facts['load_s']:.1f}",
            f"{facts['seconds']:.1f}{spread}",
            f"{facts['processor_s']:.1f}",
            f"{max(facts['peak_mb'], facts['load_peak_mb']):.0f}",
            f"{above:.0f}",
            seams,
            "" if found["seam"] is None else f"{found['cut']} ({found['cut_aside']})",
            f"{found['polygons']}",
            f"{found['iou']:.4f}",
            f"{found['difference']:.1e}",
            facts["tiles"],
        ]
        return f"| {' | '.join(cells)} |"


def median_row(runs: list[Row]) -> Row:
    """The run of median seconds (of two in the middle the slower), with the spread of all; the first that failed."""
    failed = [row for row in runs if row.failure is not None]
    if failed:
        return failed[0]
    if len(runs) == 1:
        return runs[0]
    ordered = sorted(runs, key=lambda row: row.facts["seconds"])
    spread = ordered[0].facts["seconds"], ordered[-1].facts["seconds"]
    return replace(ordered[len(ordered) // 2], spread=spread)


def print_table(rows: list[Row], size: int, output: Path | None) -> None:
    """Print machine, date, versions and the table; write the same to a file."""
    text = "\n".join([*conditions(rows, size), "", HEADS, "|---" * 12 + "|", *(row.line() for row in rows)])
    print(text)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


def conditions(rows: list[Row], size: int) -> list[str]:
    """What was run on what."""
    done = [row for row in rows if row.failure is None]
    threads = sorted({row.facts["threads"] for row in done})
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    where = (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {describe_machine()}; load {load}; {threads} threads; "
        f"scene 4 x {size} x {size} float32; Overcast at commit {commit()}"
    )
    versions = {row.name.partition("-")[0]: row.facts["versions"] for row in done}
    listed = [
        f"- {name}: " + ", ".join(f"{package} {number}" for package, number in packages.items())
        for name, packages in versions.items()
    ]
    return [where, "", *listed]


def commit() -> str:
    """Of the checkout, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
