"""How near to a gap the optical side may count alone: IoU and the jump across edges of clouds over that distance.

    python -m benchmarks.studies.sky_reach runs/any-sky/cmhcl-features-clouds-seed0 --chips 16

Half of the sky is clear. At distance 0 logits are chosen pixel by pixel; see `benchmarks/studies/any_sky.py` for the
jump.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

import torch
from benchmarks.limits import as_command, at_least
from benchmarks.studies.any_sky import HALF, Counts

from overcast.batch import InputModalities
from overcast.choices import Mixing
from overcast.config import open_run
from overcast.data.splits.parts import Part
from overcast.evaluation.clouds import clouded
from overcast.evaluation.machine import describe_machine
from overcast.models.mixing import chosen

REACHES = (0, 4, 6, 8, 12, 16)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a method that works from SAR alone and from both")
    parser.add_argument("--chips", type=at_least(1), default=1000, help="test chips at most, in batches of 8")
    given = parser.parse_args()
    run = open_run(given.run)
    method = run.bundle.method
    assert method is not None, "of a full bundle"
    counts, seen = {reach: Counts() for reach in REACHES}, 0
    for batch in run.batches(Part.TEST, (InputModalities.BOTH,)):
        if seen >= given.chips:
            break
        seen += len(batch)
        sky = clouded(batch, HALF)
        valid = sky.require("optical_valid")
        with torch.inference_mode():
            both, alone = (method.predict(sky, what) for what in (InputModalities.BOTH, InputModalities.SAR))
            for reach, count in counts.items():
                mixing = Mixing.BLEND if reach else Mixing.CHOICE
                count.add(sky, chosen(both, alone, valid, mixing, reach))
    print(f"{describe_machine()}; {dt.datetime.now(dt.UTC).date()}; {seen} chips\n")
    print("| distance, px | IoU | jump |\n|---|---|---|")
    for reach, count in counts.items():
        print(f"| {reach} | {count.scores()['iou']:.3f} | {count.scores()['jump']:.2f} |")


if __name__ == "__main__":
    as_command(main)
