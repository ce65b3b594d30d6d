"""Which chips a report shows: the best, the worst and some at random, chosen while chips stream past."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from torch import Tensor

from overcast.batch import Batch
from overcast.evaluation.panels import composite, encode_png
from overcast.metrics.pixel import PixelCounts
from overcast.section import Section


class PanelKind(StrEnum):
    """Why a chip is shown."""

    BEST = "best"
    WORST = "worst"
    RANDOM = "random"


class PanelOptions(Section):
    """How many chips are kept, and how they are drawn."""

    count: int = Field(default=2, ge=0)
    """Chips of each kind; the best ones, and the worst ones, each of another place."""
    size_px: int = Field(default=256, ge=16)
    """Larger chips are averaged down to at most this side."""
    seed: int = 0
    """Chooses the random chips, whatever order the chips come in."""
    min_positive_share: float = Field(default=0.01, ge=0, le=1)
    """Chips with a smaller share of the class are neither best nor worst: an empty chip is trivially perfect."""
    keys: Mapping[str, PanelKind] | None = None
    """Show exactly these chips: give the `panel_keys` of another evaluation to compare methods on the same ones."""
    sar_bands: tuple[int, ...] | None = None
    """Bands drawn as red, green and blue; None for the first ones."""
    optical_bands: tuple[int, ...] | None = None


class Panel(Section):
    """A chip ready to be drawn, reduced to 8 bits."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    key: str
    place: str
    kind: PanelKind
    counts: PixelCounts
    """Counts of this chip, at full resolution."""
    sar_png: bytes | None
    """Colour composite; None where the batch had no SAR."""
    optical_png: bytes | None
    label_png: bytes
    """Grey values 0, 1 and 255 (ignored)."""
    probability_png: bytes
    """Grey value 255 is probability 1."""


def _block_sums(values: NDArray[np.generic], factor: int) -> NDArray[np.float64]:
    """(C, h, w) sums of `values` (C, H, W) over blocks of `factor` pixels; the last blocks may be smaller."""
    starts = [np.arange(0, side, factor) for side in values.shape[1:]]
    rows = np.add.reduceat(values, starts[0], axis=1, dtype=np.float64)
    return np.asarray(np.add.reduceat(rows, starts[1], axis=2))


def _composite_png(
    values: Tensor | None, valid: Tensor | None, index: int, factor: int, bands: tuple[int, ...] | None
) -> bytes | None:
    """Composite of the block means of one sample's valid pixels."""
    if values is None:
        return None
    pixels = values[index].float().cpu().numpy()
    good = np.ones((1, *pixels.shape[1:]), np.bool_) if valid is None else valid[index].cpu().numpy()
    count = _block_sums(good, factor)
    mean = _block_sums(np.where(good, pixels, 0), factor) / np.maximum(count, 1)
    return encode_png(composite(mean, count[0] > 0, bands))


@dataclass(frozen=True)
class Candidate:
    """A chip that may be shown."""

    batch: Batch
    index: int
    """Index of the chip in the batch."""
    place: str
    counts: PixelCounts
    probability: NDArray[np.float32]
    """(H, W)."""

    @property
    def key(self) -> str:
        """Chip key."""
        return self.batch.keys[self.index]

    def panel(self, kind: PanelKind, options: PanelOptions) -> Panel:
        """The chip drawn. SAR and optical are averaged down; label and probability keep every n-th pixel instead."""
        factor = -(-max(self.probability.shape) // options.size_px)
        label = self.batch.require("label")[self.index].to(torch.uint8).cpu().numpy()
        grey = (self.probability[::factor, ::factor] * 255).round().astype(np.uint8)
        batch, index = self.batch, self.index
        return Panel(
            key=self.key,
            place=self.place,
            kind=kind,
            counts=self.counts,
            sar_png=_composite_png(batch.sar, batch.sar_valid, index, factor, options.sar_bands),
            optical_png=_composite_png(batch.optical, batch.optical_valid, index, factor, options.optical_bands),
            label_png=encode_png(np.ascontiguousarray(label[::factor, ::factor])),
            probability_png=encode_png(np.ascontiguousarray(grey)),
        )


class _Ranking:
    """The few chips of the highest score, one of each group (here: a place, or the chip itself)."""

    def __init__(self, kind: PanelKind, size: int) -> None:
        self._kind = kind
        self._size = size
        self._kept: dict[str, tuple[float, Panel]] = {}

    def offer(self, score: float, group: str, draw: Callable[[PanelKind], Panel]) -> None:
        """Keep the chip if its score is among the highest; only then is it drawn."""
        if group in self._kept:
            if score <= self._kept[group][0]:
                return
        elif len(self._kept) >= self._size:
            lowest = min(self._kept, key=lambda name: self._kept[name][0], default=None)
            if lowest is None or score <= self._kept[lowest][0]:
                return
            del self._kept[lowest]
        self._kept[group] = (score, draw(self._kind))

    def panels(self) -> list[Panel]:
        """The panels by falling score."""
        return [panel for _, panel in sorted(self._kept.values(), key=lambda entry: -entry[0])]


class PanelPicker:
    """Sees every chip once and keeps the panels of the few to show."""

    def __init__(self, options: PanelOptions) -> None:
        self._options = options
        self._named: dict[str, Panel] = {}
        self._best = _Ranking(PanelKind.BEST, options.count)
        self._worst = _Ranking(PanelKind.WORST, options.count)
        self._random = _Ranking(PanelKind.RANDOM, 3 * options.count)  # with spares: some may be best or worst as well

    def offer(self, candidate: Candidate) -> None:
        """Keep the chip if it belongs to what is shown so far."""
        if self._options.keys is not None:
            if candidate.key in self._options.keys:
                kind = self._options.keys[candidate.key]
                self._named[candidate.key] = candidate.panel(kind, self._options)
            return

        def draw(kind: PanelKind) -> Panel:
            return candidate.panel(kind, self._options)

        if candidate.counts.positives >= max(1, self._options.min_positive_share * candidate.probability.size):
            self._best.offer(candidate.counts.iou, candidate.place, draw)
            self._worst.offer(-candidate.counts.iou, candidate.place, draw)
        self._random.offer(_lot(candidate.key, self._options.seed), candidate.key, draw)

    def panels(self) -> tuple[Panel, ...]:
        """Best, worst and random chips, none twice."""
        if self._options.keys is not None:
            return tuple(self._named[key] for key in self._options.keys if key in self._named)
        chosen: dict[str, Panel] = {}
        for panel in [*self._best.panels(), *self._worst.panels()]:
            chosen.setdefault(panel.key, panel)
        fresh = [panel for panel in self._random.panels() if panel.key not in chosen]
        return (*chosen.values(), *fresh[: self._options.count])


def _lot(key: str, seed: int) -> float:
    """A number in 0 .. 1 that depends on nothing but the key and the seed."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
