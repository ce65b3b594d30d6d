"""Damages files as `fuzz` does, led by coverage: what reaches new lines of Overcast is kept and damaged further.

    pip install atheris
    python -m benchmarks.robustness.guided --surface 'run configuration,STAC' --seconds 120 --seed 0

Half of the damage knows the structure of the file (`mutations`), half are libFuzzer's changed bytes. The outcomes and
failures are those of `fuzz`, whose `--replay` says what becomes of a file that was kept. What reached new lines is kept
too: the same command starts there. Linux only; atheris is no part of the environment.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.limits import at_least
from benchmarks.robustness.fuzz import chosen
from benchmarks.robustness.surfaces import Surface

from overcast.evaluation.machine import describe_machine

HANG_S = 15
MEMORY_MIB = 4096
COLUMNS = ("runs", "edges at first", "edges", "raw", "hang", "crash", "bad message")


def follow(surface: Surface, output: Path, seconds: int, seed: int) -> Counter[str]:
    """Damage one surface for a while; the counts by column."""
    folder = output / surface.name.replace(" ", "-").replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "failures", ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.robustness.followed", surface.name, str(folder.absolute())]
    limits = [f"-max_total_time={seconds}", f"-seed={seed + 1}", f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MIB}"]
    artifacts = f"-artifact_prefix={folder.absolute()}/"
    ended = subprocess.run(
        [*command, *limits, artifacts, "-max_len=1000000", "-print_final_stats=1"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    log = ended.stderr
    (folder / "log.txt").write_text(log, encoding="utf-8")
    edges = [int(number) for number in re.findall(r"cov: (\d+)", log)]
    if not edges:
        raise SystemExit(f"{surface.name}: atheris did not start; see {folder / 'log.txt'}")
    counts = Counter({"runs": _number(r"number_of_executed_units: (\d+)", log), "edges at first": edges[0]})
    counts["edges"] = edges[-1]
    for failure in (folder / "failures").glob("*/failure.txt"):
        counts[failure.read_text(encoding="utf-8").partition(":")[0]] += 1
    counts["hang"] += "libFuzzer: timeout" in log
    counts["crash"] += ended.returncode != 0 and "libFuzzer: timeout" not in log
    return counts


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surface", default="all", help="as for fuzz: a name, its beginning, several, or all")
    parser.add_argument("--seconds", type=at_least(1), default=60, help="for each surface")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--output", type=Path, default=Path("build/guided"), help="kept files, failures and logs")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        raise SystemExit("atheris is not installed: pip install atheris")
    command = f"--surface '{given.surface}' --seconds {given.seconds} --seed {given.seed}"
    print(f"`python -m benchmarks.robustness.guided {command}`, {describe_machine()},")
    print(f"{dt.date.today()}.\n\n| surface | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
    total = Counter[str]()
    for surface in chosen(given.surface):
        counts = follow(surface, given.output, given.seconds, given.seed)
        total += counts
        print(f"| {surface.name} | {' | '.join(str(counts[column]) for column in COLUMNS)} |", flush=True)
    return int(any(total[kind] for kind in COLUMNS[3:]))


if __name__ == "__main__":
    sys.exit(main())
