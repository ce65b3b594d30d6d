"""How quick this machine is, with its own instructions and as one that has AVX2 alone: demo, tests, training, scenes.

    python -m benchmarks.speed.machines                          everything, an hour or more
    python -m benchmarks.speed.machines --part training scene    parts of it

`demo` and `test` are `make demo` and `make test` in fresh clones of the last commit, installation included;
`training` is `benchmarks/speed/training.py`, chips per second; `scene` is `overcast bench scene`, seconds per km²
from file to file. An older processor is imitated by ONEDNN_MAX_CPU_ISA=AVX2 and ATEN_CPU_CAPABILITY=avx2. bf16 that
is only emulated is measured in `training` alone, to show what `auto` spares.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.limits import as_command, at_least

from overcast.errors import InputError
from overcast.evaluation.machine import describe_machine

ROOT = Path(__file__).parents[2]
KINDS: Mapping[str, Mapping[str, str]] = {
    "own": {},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
PARTS = ("demo", "test", "training", "scene")
PRECISIONS = ("auto", "fp32", "bf16")


def output_of(command: list[str], environment: Mapping[str, str], folder: Path = ROOT) -> str:
    """What a command prints. Raises InputError with its last words where it fails."""
    done = subprocess.run(
        command, env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join((done.stdout or done.stderr).split())[-500:]  # tests tell on stdout which of them failed
        raise InputError(f"{' '.join(command)} failed: {words}")
    return done.stdout


def minutes_of(target: str, environment: Mapping[str, str]) -> str:
    """Minutes and seconds of a make target in a fresh clone, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="overcast-machines-") as folder:
        clone = Path(folder) / "overcast"
        output_of(["git", "clone", "--quiet", str(ROOT), str(clone)], {})
        start = time.monotonic()
        output_of(["make", target], {**environment, "PYTHONPATH": ""}, clone)
        seconds = round(time.monotonic() - start)
    return f"{seconds // 60} min {seconds % 60:02} s"


def training(precision: str, environment: Mapping[str, str], steps: int) -> str:
    """Chips per second of a training by CMH-CL."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.training",
        "--method",
        "cmhcl",
        "--steps",
        str(steps),
        "--rounds",
        "1",
    ]
    found = re.search(
        r"elapsed: training +([\d.]+) chips", output_of([*command, "--precision", precision], environment)
    )
    assert found is not None
    return f"{found[1]} chips/s"


def scene(precision: str, environment: Mapping[str, str], size: int) -> str:
    """Seconds per km² of the fastest runtime."""
    command = [sys.executable, "-m", "overcast", "bench", "scene", "--size", str(size), "--rounds", "1", "--json"]
    runtimes = ["--runtime", "openvino", "--precision", precision]
    printed = json.loads(output_of([*command, *runtimes], environment))
    rows = [row for row in printed["rows"] if row["case"]["runtime"] == "openvino" and row["measured"] is not None]
    return f"{rows[0]['measured']['scene']['elapsed'] / printed['km2']:.3f} s/km²" if rows else "not computed"


def rows(given: argparse.Namespace) -> list[tuple[str, str, str]]:
    """What is measured, with which precision, and how it is called; `demo` and `test` settle theirs themselves."""
    found = [(part, "auto", name) for part, name in (("demo", "`make demo`"), ("test", "`make test`"))]
    names = {"training": "training, `cmhcl`, `tiny`", "scene": "scene, OpenVINO"}
    found += [(part, precision, name) for part, name in names.items() for precision in PRECISIONS]
    return [row for row in found if row[0] in given.part]


def measured(part: str, precision: str, kind: str, given: argparse.Namespace) -> str:
    """A cell of the table."""
    environment = KINDS[kind]
    if part == "training":
        return training(precision, environment, given.steps)
    if part == "scene":
        if kind == "AVX2" and precision == "bf16":
            return "left out"
        return scene(precision, environment, given.size)
    return minutes_of(part, environment)


def main() -> None:
    """Measure and print a table in Markdown, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="these alone")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="these processors alone")
    parser.add_argument("--steps", type=at_least(5), default=8, help="of each training")
    parser.add_argument("--size", type=at_least(256), default=2048, help="side of the scene in pixels")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {describe_machine()}; load {load:.1f} before it began\n")
    print(f"| | precision | {' | '.join(given.kind)} |\n|---|---|{'---|' * len(given.kind)}", flush=True)
    for part, precision, name in rows(given):
        cells = [measured(part, precision, kind, given) for kind in given.kind]
        print(f"| {name} | {precision} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    as_command(main)
