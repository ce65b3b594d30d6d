r"""What is a one-band model worth on real roofs that it never saw? Its score, its calibration, and as a start.

    python -m benchmarks.realism.half_real --chips /path/to/sn6_optical_labelled --output runs/half-hh \
        --bands HH --data-only
    python -m benchmarks.realism.one_band_half_real runs/half-hh/half_real --model runs/one-band/run/bundle \
        --output runs/hr
    python -m benchmarks.realism.one_band_half_real ... --labels 4 8 16 32 --seeds 0 1 2 3 4

The first scores the model on the half-real chips: those of the test places of half_real.py, and all. With `--fixed` it
is told the level of its training data instead of that of each place, as if scenes were not standardised by themselves.
`--labels` trains `sar` from so many labelled chips of the training places, from the model and from ImageNet, at one
budget. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from benchmarks.limits import as_command, at_least, existing
from benchmarks.realism.half_real import SMOKE
from benchmarks.runs import PIXELS, Budget, add_row, run_config
from torch import Tensor

from overcast.batch import Batch, Modality
from overcast.bundle.bundle import Bundle, load_bundle
from overcast.config import RunConfig, train
from overcast.config.data import build_data
from overcast.data.catalog import Catalog
from overcast.data.chips import Chip
from overcast.data.place_levels import PlaceLevels
from overcast.data.scene_level import SceneLevel
from overcast.data.splits.file import write_split
from overcast.data.splits.parts import Part, Split
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.result import Evaluation
from overcast.evaluation.run import evaluate
from overcast.training.loader import evaluation_batches

BUDGET = Budget(steps=200, batch=8, crop=96)
STARTS = ("model", "imagenet")
KEEP_RATE = 0.02
"""Of the learning rate, for weights of the model; its batch statistics stay, which four chips cannot give."""
GAINS_DB = (0.0, 3.0, 6.0, 10.0)
"""Unknown gains of the radar, with which a model that is told one level sees a scene too bright."""


class OneLevel(PlaceLevels):
    """The same level for every chip."""

    def __init__(self, level: SceneLevel) -> None:
        self._level = level

    def of(self, chip: Chip) -> SceneLevel:  # noqa: ARG002  # every chip has it
        """The one level."""
        return self._level


def main() -> None:
    arguments = parse_arguments()
    bundle = load_bundle(arguments.model)
    catalog, split = half_real(arguments.data, bundle.info.radiometry.sar.standardise)
    keys = {"test places": split.test, "all chips": tuple(chip.key for chip in catalog.chips)}
    for name, chosen in keys.items():
        found = scored(bundle, catalog, chosen, arguments.output / f"{name.replace(' ', '-')}.json")
        print(f"{name}: {sentence(found)}")
    if arguments.fixed:
        level = training_level(arguments.fixed)
        for gain_db in GAINS_DB:
            darker = replace(level, median_db=tuple(median - gain_db for median in level.median_db))
            told = replace(catalog)
            told.__dict__["levels"] = OneLevel(darker)  # in place of what the property would find
            kept = arguments.output / f"all-chips-one-level-{gain_db:g}dB.json"
            found = scored(bundle, told, keys["all chips"], kept)
            print(f"all chips at the level of the training data, {gain_db:g} dB brighter: {sentence(found)}")
    if arguments.fixed and arguments.picture:
        draw_reliability(arguments.output, arguments.picture)
    if arguments.labels:
        print_curve(arguments, catalog, split)
    print(f"{describe_machine()}; {date.today()}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=existing, help="half-real chips as half_real.py writes them, of one band")
    parser.add_argument("--model", type=existing, required=True, help="bundle that works from one band")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores and runs")
    parser.add_argument("--fixed", type=existing, help="data set that the model was trained on, for its level")
    parser.add_argument("--picture", type=Path, help="file for the reliability diagram, .png; needs --fixed")
    parser.add_argument("--labels", type=at_least(1), nargs="*", default=[], help="labelled chips to train from")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=at_least(1), default=BUDGET.steps)
    return parser.parse_args()


def half_real(root: Path, standardise: str = "scene") -> tuple[Catalog, Split]:
    """The data set, standardised as a model takes it, and the split of half_real.py."""
    config = run_config(root, "sar", 0, SMOKE, test_share=0.3, validation_share=0.1)
    return build_data(config.data.model_copy(update={"standardise": standardise}))


def scored(bundle: Bundle, catalog: Catalog, keys: Sequence[str], kept: Path) -> Evaluation:
    """Pixel scores of a bundle that works from SAR alone; what was written to `kept` before is read."""
    if kept.is_file():
        return Evaluation.read(kept)
    network, temperature = bundle.standardised_network, bundle.info.calibration_temperature or 1.0
    batches = evaluation_batches(catalog, keys, bundle.info.statistics, frozenset({Modality.SAR}), workers=0)

    def logits(batch: Batch) -> Tensor:
        found: Tensor = network(batch.require("sar"))
        return found / temperature

    places = {chip.key: chip.place for chip in catalog.select(tuple(keys))}
    found = evaluate(logits, batches, places, catalog.radiometry.sar.gsd_m, PIXELS)
    kept.parent.mkdir(parents=True, exist_ok=True)
    found.write(kept)
    return found


def sentence(found: Evaluation) -> str:
    interval, pixels, bins = found.iou_interval(), found.pixels, found.calibration
    spread = f" ({interval.low:.3f} .. {interval.high:.3f} over {len(found.places)} places)" if interval else ""
    rows = "; ".join(f"{mean:.2f}: {share:.2f}" for mean, share, _ in bins.curve)
    return (
        f"IoU {pixels.iou:.3f}{spread}, precision {pixels.precision:.3f}, recall {pixels.recall:.3f}, "
        f"ECE {bins.ece:.3f}, Brier {bins.brier:.3f}\n  said probability: share that is building | {rows}"
    )


def training_level(root: Path) -> SceneLevel:
    """Median over places of the level of a data set's training places."""
    config = run_config(root, "sar", 0, SMOKE)
    catalog, _ = build_data(config.data.model_copy(update={"standardise": "scene"}))
    assert catalog.levels is not None
    found = [catalog.levels.of(chip) for chip in {chip.place: chip for chip in catalog.chips}.values()]
    medians, spreads = ([getattr(level, name) for level in found] for name in ("median_db", "spread_db"))
    return SceneLevel(found[0].unit, tuple(np.median(medians, axis=0)), tuple(np.median(spreads, axis=0)))


def draw_reliability(folder: Path, target: Path) -> None:
    """Said probability against the share that is building, all chips."""
    figure, axes = plt.subplots(figsize=(4.2, 4.0), dpi=110)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    lines = {"by itself, any gain": "all-chips.json"}
    lines |= {f"one level, {gain:g} dB too bright": f"all-chips-one-level-{gain:g}dB.json" for gain in GAINS_DB[::2]}
    for name, file in lines.items():
        bins = Evaluation.read(folder / file).calibration
        said, found, _ = zip(*bins.curve, strict=True)
        axes.plot(said, found, marker="o", markersize=3, label=f"{name} (ECE {bins.ece:.3f})")
    axes.set(xlabel="said probability", ylabel="share that is building", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)


def print_curve(arguments: argparse.Namespace, catalog: Catalog, split: Split) -> None:
    """Train from a few labelled chips, score each on the test places, print means over the seeds that are done."""
    ious: dict[tuple[int, str], list[float]] = {}
    for seed in arguments.seeds:
        for count in arguments.labels:
            for start in STARTS:
                iou = trained_from(arguments, (catalog, split), (seed, count, start))
                ious.setdefault((count, start), []).append(iou)
                row = {"seed": seed, "labels": count, "start": start, "iou": f"{iou:.4f}"}
                add_row(arguments.output / "curve.csv", row)
                print(row, flush=True)
    effort = f"{arguments.steps} steps of {BUDGET.batch} crops of {BUDGET.crop} px"
    print(f"\n{effort}, seeds {arguments.seeds}\n| labelled chips | from the model | from ImageNet |\n|---|---|---|")
    for count in arguments.labels:
        cells = [
            f"{statistics.fmean(found):.3f} ({min(found):.3f} .. {max(found):.3f})"
            for found in (ious[count, start] for start in STARTS)
        ]
        print(f"| {count} | {' | '.join(cells)} |")


def trained_from(arguments: argparse.Namespace, data: tuple[Catalog, Split], which: tuple[int, int, str]) -> float:
    """IoU on the test places of a training from so many labelled chips."""
    (catalog, split), (seed, count, start) = data, which
    chosen = np.random.default_rng(seed).permutation(len(split.train))[:count]
    path = arguments.output / "splits" / f"{count}-seed{seed}.csv"
    write_split(Split(tuple(split.train[i] for i in sorted(chosen)), split.validation, split.test), path)
    folder = arguments.output / "runs" / f"{start}-{count}-seed{seed}"
    config = run_config(arguments.data, "sar", seed, replace(BUDGET, steps=arguments.steps))
    settings = config.model_dump(mode="json")
    settings["data"] |= {"standardise": "scene", "split": {"by": "file", "path": str(path)}}
    settings["training"]["workers"] = 0
    if start == "model":
        settings["start"] = {"bundle": str(arguments.model.absolute()), "rate": KEEP_RATE}
        settings["training"]["batch_norm"] = "frozen"
    train(RunConfig.model_validate(settings), folder)
    kept = arguments.output / "scores" / f"{folder.name}.json"
    return scored(load_bundle(folder / "bundle"), catalog, split.keys(Part.TEST), kept).pixels.iou


if __name__ == "__main__":
    as_command(main)
