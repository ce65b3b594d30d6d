"""Do models trained on the simulated city work on real roofs, and the other way round?

    python -m benchmarks.realism.half_real --chips /path/to/sn6_optical_labelled --output runs/half-real --seeds 0 1 2

Half-real chips have a real picture and a real mask; their radar image is simulated over the real footprints (see
half_real_chips.py for what is assumed). They are written to OUTPUT/half_real as an ordinary folder data set, and fully
simulated places to OUTPUT/simulated. Methods are trained on each at one budget, and scored from SAR alone on the test
chips of both: IoU with its 95 % interval over places. Chips that look alike or continue each other are one place, and
no place is in two parts. Interrupted, the same command goes on. Nothing is written outside OUTPUT.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import yaml
from benchmarks.limits import as_command, at_least, existing
from benchmarks.realism.half_real_chips import RealChip, half_real_pair, real_chips, write_raster
from benchmarks.runs import Budget, add_row, run_config, score, trained
from rich.console import Console
from rich.progress import track

from overcast.batch import InputModalities
from overcast.config.data import build_data
from overcast.data.catalog import Catalog
from overcast.data.chips import Chip
from overcast.data.splits.clusters import ClusterOptions, cluster_labels, read_appearance
from overcast.data.splits.parts import Part
from overcast.errors import InputError
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.result import Evaluation
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import SarOptions, SimulationOptions
from overcast.simulator.radar.image import NODATA

METHODS = ("sar", "cmhcl")
DOMAINS = ("simulated", "half_real")
BUDGETS = {"cpu": Budget(steps=300, batch=8, crop=96), "full": Budget(steps=3000, batch=16, crop=96)}
PLACES = {"cpu": 16, "full": 80}
SMOKE = Budget(steps=2, batch=2, crop=64)
MIN_SEEN = 0.25
"""Chips with a smaller share of picture are left out."""
ALIKE = ClusterOptions(duplicate=0.8, seam=0.6)
"""Stricter than the default, because these chips have one layer: rather too few places than one in two parts."""


def sar_of(arguments: argparse.Namespace) -> SarOptions:
    """The same radar for both; real chips bring their own black wedges."""
    return SarOptions(wedge_share=0.0, polarisations=tuple(arguments.bands))


def main() -> None:
    arguments = parse_arguments()
    roots = {"half_real": write_half_real(arguments), "simulated": write_simulated(arguments)}
    scores: dict[tuple[str, str, str], list[Evaluation]] = defaultdict(list)
    for seed in arguments.seeds:
        for source in DOMAINS:
            for method in arguments.methods:
                run = train_once(arguments, roots[source], (source, method, seed))
                for target in DOMAINS:
                    scores[source, target, method].append(score_once(arguments, roots[target], run, target))
    print_table(scores, arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--chips", type=existing, required=True, help="folder with NNN_rgb.png and NNN_mask.png at 0.5 m"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for data, runs and scores")
    parser.add_argument("--gsd-m", type=float, choices=[1.0, 0.5], default=1.0)
    parser.add_argument("--bands", nargs="+", default=["HH", "HV", "VH", "VV"], help="polarisations of the radar")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--size", choices=sorted(BUDGETS), default="cpu")
    parser.add_argument("--steps", type=at_least(1), help="instead of those of the size")
    parser.add_argument("--workers", type=at_least(1), default=2, help="processes that simulate")
    parser.add_argument("--smoke", action="store_true", help="two steps on little data: does it run?")
    parser.add_argument("--data-only", action="store_true", help="write the half-real data set and stop")
    return parser.parse_args()


def write_half_real(arguments: argparse.Namespace) -> Path:
    """The half-real data set; chips that are there already are kept."""
    root: Path = arguments.output / "half_real"
    sar = sar_of(arguments)
    chips = [chip for chip in real_chips(arguments.chips) if chip.seen.mean() >= MIN_SEEN]
    if not chips:
        raise InputError(f"{arguments.chips} holds no NNN_rgb.png with enough picture; check the folder.")
    _claim(root, {"gsd_m": arguments.gsd_m, "chips": len(chips), "sar": sar.model_dump(mode="json")})
    places = places_of(arguments.chips, chips)
    console = Console(stderr=True)
    for index, chip in enumerate(track(chips, "half-real chips", console=console, transient=True)):
        name = f"c{places[index]:03d}_{chip.name}.tif"
        if (root / "masks" / name).is_file():
            continue
        pair = half_real_pair(chip, arguments.gsd_m, sar, (0, index))
        write_raster(root / "sar" / name, pair.sar, sar.polarisations, NODATA)
        write_raster(root / "optical" / name, pair.optical, ("red", "green", "blue"), 0)
        write_raster(root / "masks" / name, pair.mask[None], ("building",), None)  # last: a chip that has it is whole
    (root / "dataset.yaml").write_text(yaml.safe_dump(description(arguments.gsd_m, sar), sort_keys=False))
    print(f"{root}: {len(chips)} chips, {len(set(places))} places")
    if arguments.data_only:
        sys.exit()
    return root


def _claim(root: Path, settings: dict[str, object]) -> None:
    """Refuse a folder that was begun with other settings."""
    record, text = root / "half_real.json", json.dumps(settings, indent=1) + "\n"
    if record.is_file() and record.read_text() != text:
        raise InputError(f"{root} was begun with other settings: remove it, or choose another output folder.")
    root.mkdir(parents=True, exist_ok=True)
    record.write_text(text)


def places_of(folder: Path, chips: Sequence[RealChip]) -> list[int]:
    """Number of each chip's place, found from the pictures: chips that look alike or continue each other."""
    files = [Chip(chip.name, chip.name, (folder / f"{chip.name}_rgb.png",), ()) for chip in chips]
    return [int(number) for number in cluster_labels(read_appearance(files), ALIKE)]


def description(gsd_m: float, sar: SarOptions) -> dict[str, object]:
    return {
        "name": "half-real: SpaceNet 6 pictures and masks, simulated radar",
        "class_name": "building",
        "licence": "CC-BY-SA-4.0",
        "simulated": True,
        "sar": {
            "folders": ["sar"],
            "bands": list(sar.polarisations),
            "unit": sar.unit.value,
            "nodata": NODATA,
            "gsd_m": gsd_m,
            "radar_side": "north",
        },
        "optical": {
            "folders": ["optical"],
            "bands": ["red", "green", "blue"],
            "unit": "digital_number",
            "nodata": 0,
            "gsd_m": gsd_m,
        },
        "label": {"folder": "masks", "foreground": 1, "background": 0},
        "place_pattern": "^(?P<place>c[0-9]+)_",
    }


def write_simulated(arguments: argparse.Namespace) -> Path:
    """Fully simulated places of the same radar, in chips of 112 m as the real ones."""
    options = SimulationOptions(
        seed=31,
        places=5 if arguments.smoke else PLACES[arguments.size],
        place_m=112.0 if arguments.smoke else 336.0,
        chip_px=round(112 / arguments.gsd_m),
        gsd_m=arguments.gsd_m,
        sar=sar_of(arguments),
        workers=arguments.workers,
    )
    return simulate_dataset(arguments.output / "simulated", options)


def budget_of(arguments: argparse.Namespace) -> Budget:
    budget = SMOKE if arguments.smoke else BUDGETS[arguments.size]
    return budget if arguments.steps is None else Budget(arguments.steps, budget.batch, budget.crop)


def train_once(arguments: argparse.Namespace, root: Path, which: tuple[str, str, int]) -> Path:
    source, method, seed = which
    config = run_config(root, method, seed, budget_of(arguments), test_share=0.3, validation_share=0.1)
    return trained(config, arguments.output / "runs" / f"{source}-{method}-seed{seed}")


def test_chips(root: Path) -> tuple[Catalog, tuple[str, ...]]:
    """The data set and its test chips: the split depends on no seed of the runs."""
    config = run_config(root, "sar", 0, SMOKE, test_share=0.3, validation_share=0.1)
    catalog, split = build_data(config.data)
    return catalog, split.keys(Part.TEST)


def score_once(arguments: argparse.Namespace, root: Path, run: Path, target: str) -> Evaluation:
    """IoU of a run on the test chips of a data set from SAR alone; its row goes to the CSV file."""
    kept = arguments.output / "scores" / f"{run.name}-on-{target}.json"
    found = score(run, InputModalities.SAR, kept, test_chips(root))
    interval = found.iou_interval()
    low, high = (interval.low, interval.high) if interval else (float("nan"), float("nan"))
    row = {"run": run.name, "tested_on": target, "iou": f"{found.pixels.iou:.4f}"}
    add_row(arguments.output / "half_real.csv", row | {"low": f"{low:.4f}", "high": f"{high:.4f}"})
    print(f"{run.name} on {target}: IoU {found.pixels.iou:.3f} ({low:.3f} .. {high:.3f} over places)", flush=True)
    return found


def print_table(scores: dict[tuple[str, str, str], list[Evaluation]], arguments: argparse.Namespace) -> None:
    """Mean over seeds; the interval is the mean of the seeds' intervals over places."""
    budget = budget_of(arguments)
    effort = f"{budget.steps} steps of {budget.batch} crops of {budget.crop} px, seeds {arguments.seeds}"
    print(f"\nIoU from SAR alone at {arguments.gsd_m:g} m; {effort}; {describe_machine()}; {date.today()}")
    print("| trained on | tested on | method | IoU | 95 % over places | over seeds |\n|---|---|---|---|---|---|")
    for (source, target, method), found in scores.items():
        ious = [each.pixels.iou for each in found]
        intervals = [interval for each in found if (interval := each.iou_interval())]
        low, high = (statistics.fmean(getattr(i, end) for i in intervals) for end in ("low", "high"))
        spread = f"{min(ious):.3f} .. {max(ious):.3f}" if len(ious) > 1 else "one seed"
        print(f"| {source} | {target} | {method} | {statistics.fmean(ious):.3f} | {low:.3f} .. {high:.3f} | {spread} |")


if __name__ == "__main__":
    as_command(main)
