"""The curve over the share of labels from tables that were kept: both tables and one figure per data set.

python -m benchmarks.studies.labels_figure docs/benchmarks/labels-*/results.csv --output docs/images

The figures are `labels-DATASET.png`: means over the seeds, with the least and the most of them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from benchmarks import limits
from benchmarks.studies.labels import Scores, draw, print_tables

METHODS = ("cmhcl-soft", "self_training", "sar_twin", "sar")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=limits.existing, nargs="+", help="results.csv of the study of labels")
    parser.add_argument("--output", type=limits.existing, required=True, help="folder of the figures")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="those that are drawn, by their labels")
    given = parser.parse_args()
    scores = {key: iou for table in given.tables for key, iou in read_rows(table).items()}
    print_tables(scores)
    draw({key: iou for key, iou in scores.items() if key[1] in given.methods}, given.output)


def read_rows(path: Path) -> Scores:
    """What `write_rows` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (row["dataset"], row["method"], int(row["seed"]), float(row["label_share"])): float(row["iou"])
            for row in csv.DictReader(file)
        }


if __name__ == "__main__":
    limits.as_command(main)
