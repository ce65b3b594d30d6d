"""What is left of the score when clouds take a share of the optical image, and what is seen along their edges.

    overcast simulate configs/benchmark/base/simulated-small-city.yaml -o data/small-city
    python -m benchmarks.studies.any_sky data/small-city --output runs/any-sky --seeds 0 1 2
    python -m benchmarks.studies.any_sky data/ombria-40m --split data/ombria-40m/split.json --output runs/any-sky-ombria

Every entry is trained with the same steps on the same chips; those that end in `-clouds` see clouds over half of their
optical images (`augmentation.cloud_share=0.5`). The test chips then lose all but a share of their optical pixels under
clouds that are drawn from the chip's name, the same for all, nested from share to share. IoU is pooled over all valid
pixels. The jump is the mean difference of probability between neighbouring pixels on the two sides of a cloud's edge,
over that between all others, at half of the sky: 1 means that nobody could tell where the cloud ended.

Interrupted, the same command goes on; `test.csv` has a row per entry, mixing, seed and share. What is decided by these
figures is decided on the validation chips: `--part validation` scores the same runs there.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from benchmarks.limits import as_command, at_least, positive
from benchmarks.runs import Budget, run_config, trained
from torch import Tensor

from overcast.batch import Batch, InputModalities
from overcast.choices import Mixing
from overcast.config import open_run
from overcast.config.finished import FinishedRun
from overcast.config.run import RunConfig
from overcast.data.splits.parts import Part
from overcast.evaluation.clouds import clouded
from overcast.evaluation.machine import describe_machine
from overcast.methods.base import Method
from overcast.models.mixing import chosen
from overcast.training.options import KeepBest

SHARES = (0.0, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
HALF = 0.5
CLOUDS = {"augmentation": {"cloud_share": 0.5}}
COLUMNS = ("entry", "mixing", "seed", "share", "iou", "jump")


@dataclass(frozen=True)
class Entry:
    """A training, and the ways in which its model can mix."""

    name: str
    method: dict[str, Any]
    mixings: tuple[Mixing, ...] = (Mixing.CHOICE,)
    clouds: bool = False


Condition = tuple[Mixing, float]
"""How the sensors are mixed, and the share of valid optical pixels."""
OUTPUTS = (Mixing.CHOICE, Mixing.BLEND)
ENTRIES = (
    Entry("cmhcl-features-clouds", {"name": "cmhcl", "mixing": "features"}, tuple(Mixing), clouds=True),
    Entry("fusion-clouds", {"name": "fusion", "learn_gaps": True}, clouds=True),
    Entry("cmhcl", {"name": "cmhcl"}, tuple(Mixing)),
    Entry("modality_dropout-clouds", {"name": "modality_dropout", "learn_gaps": True}, OUTPUTS, clouds=True),
    Entry("sar_twin", {"name": "sar_twin"}),
    Entry("shaspec-clouds", {"name": "shaspec", "learn_gaps": True}, OUTPUTS, clouds=True),
    Entry("cmhcl-clouds", {"name": "cmhcl"}, tuple(Mixing), clouds=True),
    Entry("fusion", {"name": "fusion"}),
)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder data set of chips")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--split", type=Path, help="split file of the data set; without it a split by places")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=at_least(1), default=240)
    parser.add_argument("--learning-rate", type=positive, default=2e-3, help="the same for all")
    parser.add_argument(
        "--keep-best", choices=list(KeepBest), default=KeepBest.ANY_SKY, help="of those that work both ways"
    )
    parser.add_argument("--crop", type=at_least(32), default=64, help="side of the training crops in pixels")
    parser.add_argument(
        "--part", type=Part, choices=[Part.VALIDATION, Part.TEST], default=Part.TEST, help="that is scored"
    )
    parser.add_argument("--entries", nargs="+", choices=[entry.name for entry in ENTRIES], help="some of the trainings")
    given = parser.parse_args()
    entries = [entry for entry in ENTRIES if given.entries is None or entry.name in given.entries]
    for seed in given.seeds:
        for entry in entries:
            folder = trained(config_of(entry, seed, given), given.output / f"{entry.name}-seed{seed}")
            evaluated(entry, folder, given.part)
            print(f"{entry.name}, seed {seed}: done", file=sys.stderr, flush=True)
            rows = [
                row for one in entries for found in given.seeds for row in kept(one, found, given.output, given.part)
            ]
            write_rows(rows, given.output / f"{given.part.value}.csv")
    budget = f"{given.steps} steps at {given.learning_rate:g}, seeds {given.seeds}"
    print(f"{describe_machine()}; {dt.datetime.now(dt.UTC).date()}; {budget}\n")
    print_table(rows)


def config_of(entry: Entry, seed: int, given: argparse.Namespace) -> RunConfig:
    """The training of an entry."""
    split = {} if given.split is None else {"by": "file", "path": given.split}
    plain = run_config(
        given.data,
        entry.method["name"],
        seed,
        Budget(given.steps, 16, given.crop, learning_rate=given.learning_rate),
        **split,
    )
    settings = plain.model_dump(mode="json") | {"method": entry.method} | (CLOUDS if entry.clouds else {})
    if len(entry.mixings) > 1:  # it works from SAR alone and from both
        settings["training"]["keep_best"] = given.keep_best
    return RunConfig.model_validate(settings)


def evaluated(entry: Entry, folder: Path, part: Part) -> None:
    """Write the scores of every mixing and share that are not there yet."""
    wanted = [(mixing, share) for mixing in entry.mixings for share in SHARES]
    todo = [one for one in wanted if not score_file(folder, part, *one).is_file()]
    if not todo:
        return
    counts = counted(open_run(folder), part, todo)
    for one in todo:
        path = score_file(folder, part, *one)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(counts[one].scores()), encoding="utf-8")
        beside.replace(path)


def score_file(folder: Path, part: Part, mixing: Mixing, share: float) -> Path:
    return folder / "any-sky" / part.value / f"{mixing.value}-{100 * share:g}.json"


class Counts:
    """Of the chips seen so far."""

    def __init__(self) -> None:
        self.pixels = torch.zeros(3, dtype=torch.float64)
        """Found and true, found alone, true alone."""
        self.steps = torch.zeros(2, 2, dtype=torch.float64)
        """Of `jumps`."""

    def add(self, batch: Batch, logits: Tensor) -> None:
        """Count a batch under clouds and its logits."""
        probability = torch.sigmoid(logits[:, 0].float())
        known = batch.label_valid & batch.require("sar_valid")[:, 0]
        found, true = probability >= 0.5, batch.require("label") == 1
        self.pixels += torch.stack([(known & part).sum() for part in (found & true, found & ~true, ~found & true)])
        if batch.optical_valid is not None:
            self.steps += jumps(probability, batch.optical_valid[:, 0])

    def scores(self) -> dict[str, float]:
        """IoU, and the jump across the edges of clouds."""
        (edge, edges), (other, others) = self.steps.tolist()
        jump = (edge / edges) / (other / others) if edges and others and other else float("nan")
        return {"iou": float(self.pixels[0] / self.pixels.sum().clamp(min=1)), "jump": jump}


def counted(run: FinishedRun, part: Part, todo: list[Condition]) -> dict[Condition, Counts]:
    """The chips of a part under every sky and by every mixing that is asked for; equal passes are made once."""
    method = run.bundle.method
    assert method is not None, "of a full bundle"
    counts = {one: Counts() for one in todo}
    for batch in run.batches(part, (InputModalities.BOTH,)):
        with torch.inference_mode():
            alone = method.predict(batch, InputModalities.SAR) if InputModalities.SAR in method.available else None
            for share in dict.fromkeys(share for _, share in todo):
                seen = clouded(batch, share)
                both = method.predict(seen, InputModalities.BOTH) if InputModalities.BOTH in method.available else None
                for mixing in [mixing for mixing, other in todo if other == share]:
                    counts[mixing, share].add(seen, logits_of(method, seen, (alone, both), mixing))
    return counts


def logits_of(method: Method, seen: Batch, known: tuple[Tensor | None, Tensor | None], mixing: Mixing) -> Tensor:
    """What `Method.predict_clouded` gives, made of the logits of SAR alone and of both sensors where it can be."""
    alone, both = known
    if alone is None or both is None:
        found = both if alone is None else alone
        assert found is not None, "a method sees something"
        return found
    if mixing is Mixing.FEATURES:
        return method.predict_clouded(seen, mixing)
    return chosen(both, alone, seen.require("optical_valid"), mixing, method.reach_px)


def jumps(probability: Tensor, valid: Tensor) -> Tensor:
    """((sum, number), (sum, number)) of differences between neighbours across the edges of clouds, and elsewhere."""
    found = torch.zeros(2, 2, dtype=torch.float64)
    for axis in (1, 2):
        length = probability.shape[axis] - 1
        step = probability.diff(dim=axis).abs().double()
        crosses = valid.narrow(axis, 0, length) != valid.narrow(axis, 1, length)
        for row, where in enumerate((crosses, ~crosses)):
            found[row] += torch.stack([step[where].sum(), where.sum().double()])
    return found


def kept(entry: Entry, seed: int, output: Path, part: Part) -> list[dict[str, Any]]:
    """The rows of a run that are there."""
    folder = output / f"{entry.name}-seed{seed}"
    rows = []
    for mixing in entry.mixings:
        for share in SHARES:
            path = score_file(folder, part, mixing, share)
            if path.is_file():
                found = json.loads(path.read_text(encoding="utf-8"))
                rows.append({"entry": entry.name, "mixing": mixing.value, "seed": seed, "share": share} | found)
    return rows


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Means over seeds; the last column is the jump at half of the sky."""
    print("| training | mixing | " + " | ".join(f"{100 * share:g} %" for share in SHARES) + " | jump at 50 % |")
    print("|---" * (len(SHARES) + 3) + "|")
    for key in dict.fromkeys((row["entry"], row["mixing"]) for row in rows):
        of = [row for row in rows if (row["entry"], row["mixing"]) == key]
        ious = [mean(row["iou"] for row in of if row["share"] == share) for share in SHARES]
        jump = mean(row["jump"] for row in of if row["share"] == HALF)
        print(f"| `{key[0]}` | {key[1]} | " + " | ".join(f"{iou:.3f}" for iou in ious) + f" | {jump:.2f} |")


if __name__ == "__main__":
    as_command(main)
