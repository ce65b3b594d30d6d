"""Train in a process of its own: `python train_process.py OUTPUT KEY=VALUE ...`. Tests kill it or start several."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

from overcast.config import load_config, train


def main(output: str, *sets: str) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    train(load_config(None, sets), Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
