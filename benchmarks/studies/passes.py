"""Labelled and unlabelled places in one pass or in two: what batch normalisation makes of a student. Validation alone.

    overcast simulate configs/studies/labels-city.yaml -o data/labels-city
    python -m benchmarks.studies.passes data/labels-city --seeds 0 1

A teacher learns from the optical images of two labelled places of fourteen, then a SAR network of one stream learns
from the labels there and from the teacher's probabilities on the other twelve, 8 crops of each kind a step. Printed is
the IoU on four validation places; the ten test places are not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmarks.limits import as_command, at_least
from numpy.typing import NDArray
from torch import Tensor, nn

from overcast.batch import Modality
from overcast.data.augment import safe_geometry
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.chips import read_chip
from overcast.data.statistics import compute_statistics
from overcast.methods.losses import segmentation_loss, soft_segmentation_loss
from overcast.models.network import Preset, SingleNetwork, preset

STEPS, CROPS, CROP_PX, RATE, WARMUP = 250, 16, 64, 2e-3, 20
ONE, TWO, AVERAGES_UNLABELLED = "one pass", "two passes", "two passes, averages of the unlabelled one"
WAYS = (ONE, TWO, AVERAGES_UNLABELLED)
Chip = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]
Crops = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""SAR, optical, label, where SAR and where the optical image have data."""
StepLoss = Callable[[nn.Module], Tensor]


class Town:
    """The simulated city, decoded and standardised."""

    def __init__(self, root: Path) -> None:
        self.catalog = folder_catalog(root)
        places = sorted({chip.place for chip in self.catalog.chips})
        order = [places[index] for index in np.random.default_rng(0).permutation(len(places))]
        self.validation, self.train = order[10:14], order[14:]
        chosen = [chip for chip in self.catalog.chips if chip.place in self.train]
        self.statistics = compute_statistics(chosen, self.catalog.radiometry)
        self.symmetries = safe_geometry(self.catalog.radiometry.sar.radar_side).symmetries

    def load(self, places: list[str]) -> list[Chip]:
        """All chips of some places."""
        chips = [chip for chip in self.catalog.chips if chip.place in places]
        return [self._read(chip) for chip in chips]

    def _read(self, chip: object) -> Chip:
        both = frozenset(Modality)
        arrays = read_chip(chip, self.catalog.radiometry, self.catalog.label, both)  # type: ignore[arg-type]
        sar, optical, label = arrays.sar, arrays.optical, arrays.label
        assert sar is not None
        assert optical is not None
        assert label is not None
        assert self.statistics.optical is not None
        return (
            self.statistics.sar.standardise(sar.values, sar.valid).astype(np.float32),
            self.statistics.optical.standardise(optical.values, optical.valid).astype(np.float32),
            label,
            sar.valid,
            optical.valid,
        )

    def draw(self, chips: list[Chip], count: int, rng: np.random.Generator) -> Crops:
        """Random crops, flipped along the flight direction, with drifts of radiometry."""
        rows: list[list[NDArray]] = [[], [], [], [], []]  # type: ignore[type-arg]
        for _ in range(count):
            chip, last = chips[rng.integers(len(chips))], chips[0][2].shape[0] - CROP_PX + 1
            row, col = rng.integers(0, last), rng.integers(0, last)
            turn = self.symmetries[rng.integers(len(self.symmetries))]
            cut = [np.ascontiguousarray(turn.apply(a[..., row : row + CROP_PX, col : col + CROP_PX])) for a in chip]
            gain, other = 1 + 0.05 * rng.uniform(-1, 1), 1 + 0.15 * rng.uniform(-1, 1)
            cut[0] = cut[0] * np.float32(gain) + np.float32(0.1 * rng.uniform(-1, 1))
            cut[1] = cut[1] * np.float32(other) + np.float32(0.15 * rng.uniform(-1, 1))
            cut[3], cut[4] = cut[3][None], cut[4][None]
            for kept, array in zip(rows, cut, strict=True):
                kept.append(array)
        sar, optical, *rest = (torch.from_numpy(np.stack(kept)) for kept in rows)
        images = (image.contiguous(memory_format=torch.channels_last) for image in (sar, optical))
        return (*images, *rest)  # type: ignore[return-value]


def fit(network: nn.Module, loss: StepLoss) -> None:
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 1e-3},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / WARMUP) * (1 - step / STEPS) ** 0.9
    )
    network.train()
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss(network).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()


@torch.inference_mode()
def iou(network: nn.Module, chips: list[Chip], sensor: int) -> float:
    overlap = union = 0
    for chip in chips:
        found, label = network(torch.from_numpy(chip[sensor])[None])[0, 0] > 0, torch.from_numpy(chip[2])
        known, truth = label != 255, label == 1
        overlap += int((found & truth & known).sum())
        union += int(((found | truth) & known).sum())
    return overlap / union


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the simulated city")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1])
    given = parser.parse_args()
    torch.set_num_threads(1)
    town = Town(given.root)
    validation = town.load(town.validation)
    optical_bands, sar_bands = len(validation[0][1]), len(validation[0][0])
    spec = preset(Preset.TINY).with_bands(sar_bands, optical_bands)

    def new(bands: int, seed: int) -> SingleNetwork:
        torch.manual_seed(seed)
        return SingleNetwork(spec, bands).to(memory_format=torch.channels_last)

    for seed in given.seeds:
        order = np.random.default_rng(seed + 100).permutation(len(town.train))
        labelled = town.load([town.train[i] for i in order[:2]])
        unlabelled = town.load([town.train[i] for i in order[2:]])
        teacher, rng = new(optical_bands, seed), np.random.default_rng(seed)

        def optical(network: nn.Module, chips: list[Chip] = labelled, rng: np.random.Generator = rng) -> Tensor:
            crops = town.draw(chips, CROPS, rng)
            return segmentation_loss(network(crops[1]), crops[2], crops[4])

        fit(teacher, optical)
        print(f"seed {seed}, teacher: {iou(teacher, validation, 1):.3f}", flush=True)
        for passes in WAYS:
            student = new(sar_bands, seed)
            fit(student, student_loss(town, (labelled, unlabelled), teacher, passes, seed))
            print(f"seed {seed}, student, {passes}: {iou(student, validation, 0):.3f}", flush=True)


def keep_averages(network: nn.Module, *, kept: bool) -> None:
    """Let batch normalisation follow its batches or keep its running averages as they are."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.0 if kept else 0.1


def student_loss(
    town: Town, chips: tuple[list[Chip], list[Chip]], teacher: nn.Module, passes: str, seed: int
) -> StepLoss:
    """Labels on one half of a step's crops, the teacher's probabilities on the other."""
    rng = np.random.default_rng(seed)

    def loss(network: nn.Module) -> Tensor:
        known, unknown = (town.draw(kind, CROPS // 2, rng) for kind in chips)
        with torch.no_grad():
            taught = teacher(unknown[1])
        if passes == ONE:
            first, second = network(torch.cat([known[0], unknown[0]])).split(CROPS // 2)
        else:
            keep_averages(network, kept=passes == AVERAGES_UNLABELLED)
            first = network(known[0])
            keep_averages(network, kept=False)
            second = network(unknown[0])
        soft = soft_segmentation_loss(taught, second, unknown[3] & unknown[4])
        return segmentation_loss(first, known[2], known[3]) + soft

    return loss


if __name__ == "__main__":
    as_command(main)
