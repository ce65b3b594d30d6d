"""The one Dataset: chips become standardised samples."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.augment import Augmentation, Jitter, Symmetry
from overcast.data.chips import Chip, ChipArrays, chip_grid, read_chip
from overcast.data.cloud_cover import NO_CLOUDS, CloudCover
from overcast.data.instances import read_instances
from overcast.data.labels import LabelSpec
from overcast.data.place_levels import PlaceLevels
from overcast.data.samples import Sample, pad
from overcast.data.scene_level import LevelledStatistics
from overcast.data.scenes.windows import TrainingGround
from overcast.data.targets import FOOTPRINTS, Targets, draw_targets
from overcast.data.warp import Warp
from overcast.errors import ConfigError
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, Radiometry, Statistics
from overcast.raster.sources import NativePixels


@dataclass(frozen=True)
class Draw:
    """Which chip, and which of its random crops and augmentations."""

    index: int
    stream: int
    """Any number that differs between visits, such as the training step."""


@dataclass(frozen=True)
class SampleOptions:
    """How samples are cut from chips."""

    crop: int | None = None
    """Side in pixels of a random square crop; None gives the whole chip."""
    augment: Augmentation | None = None
    """None leaves values and orientation as they are."""
    seed: int = 0
    cache_bytes: int = 0
    """Memory for decoded chips, per process; chips beyond it are read from disk each time."""
    min_valid: float = 0.25
    """Crops with a smaller share of pixels that have data (and a label, where there is one) are drawn again."""
    attempts: int = 4
    """Crops drawn at most; the best of them is taken."""
    targets: Targets = FOOTPRINTS
    """What is drawn beside the footprint."""
    instances: bool = False
    """Whether true buildings are separated from each other."""
    around_footprints: float = 0.0
    """Share of the crops of scenes that hold a footprint; the others are uniform over the ground."""

    def __post_init__(self) -> None:
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"crop must be at least 1 pixel, got {self.crop}; use null for whole chips.")
        if self.seed < 0 or self.cache_bytes < 0 or self.attempts < 1 or not 0 <= self.min_valid <= 1:
            raise ConfigError(
                f"seed and cache_bytes must not be negative, attempts at least 1, min_valid within 0 .. 1: {self}."
            )


class ChipDataset(Dataset[Sample]):
    """Samples of chips. What a draw returns depends on the seed, the chip's index and the stream, on nothing else.

    Decoded chips are kept in memory, in the data type of their files, until `cache_bytes` are used.
    """

    def __init__(
        self,
        chips: Sequence[Chip],
        radiometry: Radiometry,
        label_spec: LabelSpec,
        statistics: Statistics,
        options: SampleOptions,
        modalities: AbstractSet[Modality],
        levels: PlaceLevels | None = None,
    ) -> None:
        """Prepare; no pixel is read. `levels` are those of scenes that are standardised by themselves.

        Raises:
            ConfigError: No modality is asked for, or one that the data set does not have.
        """
        if not modalities:
            raise ConfigError("a data set needs at least one modality; choose sar, optical or both.")
        lacking = radiometry.optical is None or statistics.optical is None
        if Modality.OPTICAL in modalities and lacking:
            raise ConfigError("the optical image is asked for, but the data set declares none; choose sar alone.")
        self.chips = tuple(chips)
        self._radiometry, self._label_spec, self._statistics = radiometry, label_spec, statistics
        self._options, self._modalities, self._levels = options, frozenset(modalities), levels
        self._cache: dict[int, ChipArrays] = {}
        self._cached_bytes, self._full = 0, options.cache_bytes == 0
        self._shapes: dict[int, tuple[int, int]] = {}
        from_scenes = bool(self.chips) and all(chip.scene is not None for chip in self.chips)
        self._ground = TrainingGround(self.chips, options.around_footprints) if from_scenes else None
        self._learns_targets = len(options.targets.names) > 1
        self._draws_buildings = self._learns_targets or options.instances

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, draw: Draw | int) -> Sample:
        """The sample of a draw; a plain index stands for stream 0. Raises InputError for unusable files."""
        if isinstance(draw, int):
            draw = Draw(draw, 0)
        if not 0 <= draw.index < len(self.chips):
            raise IndexError(draw.index)
        rng = np.random.default_rng((self._options.seed, draw.index, draw.stream))
        augment = self._options.augment
        warp = augment.warp.draw(rng) if augment else None
        arrays = self._cut(draw.index, rng, warp)
        if warp is not None:
            crop = self._options.crop
            arrays = warp.apply(arrays, arrays.shape if crop is None else (crop, crop))
        symmetry = augment.draw_symmetry(rng) if augment else Symmetry()
        return self._sample(self.chips[draw.index], arrays, symmetry, rng)

    def _load(self, index: int) -> bool:
        """Bring a chip into the cache; False where it does not fit, after which nothing more is added."""
        if index in self._cache:
            return True
        if self._full:
            return False
        arrays = self._with_buildings(index, self._decode(index, None), None)
        if self._cached_bytes + arrays.nbytes > self._options.cache_bytes:
            self._full = True
            return False
        self._cache[index] = arrays
        self._cached_bytes += arrays.nbytes
        return True

    def _read(self, index: int, window: Window | None) -> ChipArrays:
        if self._load(index):
            arrays = self._cache[index]
            return arrays if window is None else arrays.crop(window)
        return self._decode(index, window)

    def _decode(self, index: int, window: Window | None) -> ChipArrays:
        return read_chip(self.chips[index], self._radiometry, self._label_spec, self._modalities, window)

    def _with_buildings(self, index: int, arrays: ChipArrays, window: Window | None) -> ChipArrays:
        """Targets and single buildings added where they are asked for and not there yet.

        They come from the whole chip: what a crop cuts off still decides where a building ends.
        """
        if not self._draws_buildings or arrays.targets is not None or arrays.instances is not None:
            return arrays
        options = self._options
        found = read_instances(self.chips[index], self._label_spec)
        if found is None:
            return arrays
        whole = ChipArrays(
            None,
            None,
            None,
            draw_targets(found, options.targets) if self._learns_targets else None,
            found if options.instances else None,
        )
        cut = whole if window is None else whole.crop(window)
        return replace(arrays, targets=cut.targets, instances=cut.instances)

    def _shape(self, index: int) -> tuple[int, int]:
        if index not in self._shapes:
            if self._load(index):
                self._shapes[index] = self._cache[index].shape
            else:
                grid = chip_grid(self.chips[index], self._modalities, self._radiometry)
                self._shapes[index] = (grid.height, grid.width)
        return self._shapes[index]

    def _cut(self, index: int, rng: np.random.Generator, warp: Warp | None) -> ChipArrays:
        """The whole chip, or the best of a few random crops, as large as the warp needs."""
        crop = self._options.crop
        if crop is None:
            return self._with_buildings(index, self._read(index, None), None)
        if warp is not None:
            crop = warp.source_side(crop)
        if self._ground is not None:
            return self._cut_scene(self._ground, index, rng, crop)
        height, width = self._shape(index)
        best, best_window, best_share = None, None, -1.0
        for _ in range(self._options.attempts):
            row, col = rng.integers(0, max(height - crop, 0) + 1), rng.integers(0, max(width - crop, 0) + 1)
            window = Window(int(row), int(col), min(crop, height), min(crop, width))
            arrays = self._read(index, window)
            share = arrays.counted_share
            if share > best_share:
                best, best_window, best_share = arrays, window, share
            if share >= self._options.min_valid or (window.height, window.width) == (height, width):
                break
        assert best is not None, "at least one crop was drawn"
        return self._with_buildings(index, best, best_window)

    def _cut_scene(self, ground: TrainingGround, index: int, rng: np.random.Generator, crop: int) -> ChipArrays:
        """The best of a few windows of the training ground."""

        def part(other: int, window: Window) -> ChipArrays:
            return self._with_buildings(other, self._read(other, window), window)

        def whole(other: int) -> bool:
            return self._draws_buildings or self._load(other)

        best, best_share = None, -1.0
        for _ in range(self._options.attempts):
            arrays = ground.read(index, ground.draw(index, rng, crop), part, whole)
            if arrays.counted_share > best_share:
                best, best_share = arrays, arrays.counted_share
            if best_share >= self._options.min_valid:
                break
        assert best is not None, "at least one window was drawn"
        return best

    def _radar_statistics(self, chip: Chip) -> BandStatistics:
        known = self._statistics.sar
        return known if self._levels is None or not chip.sar else LevelledStatistics.at(known, self._levels.of(chip))

    def _sample(self, chip: Chip, arrays: ChipArrays, symmetry: Symmetry, rng: np.random.Generator) -> Sample:
        size = arrays.shape if self._options.crop is None else (self._options.crop, self._options.crop)
        if symmetry.transpose:
            size = (size[1], size[0])
        finish = _Finish(symmetry, size, rng)
        augment = self._options.augment
        sar = optical = None
        if Modality.SAR in self._modalities:
            sar = finish.image(arrays.sar, self._radar_statistics(chip), augment.sar if augment else None)
        if self._statistics.optical is not None and Modality.OPTICAL in self._modalities:
            optical = finish.image(arrays.optical, self._statistics.optical, augment.optical if augment else None)
            optical = finish.clouded(optical, augment.clouds if augment else NO_CLOUDS)
        return Sample(
            key=chip.key,
            sar=sar[0] if sar else None,
            sar_valid=sar[1] if sar else None,
            optical=optical[0] if optical else None,
            optical_valid=optical[1] if optical else None,
            label=finish.label(arrays.label),
            targets=finish.truth(arrays.targets),
            instances=finish.truth(arrays.instances),
        )


@dataclass(frozen=True)
class _Finish:
    """Turns decoded arrays into those of a sample: symmetry, standardisation, jitter, padding."""

    symmetry: Symmetry
    size: tuple[int, int]
    rng: np.random.Generator

    def image(
        self, native: NativePixels | None, statistics: BandStatistics, jitter: Jitter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Standardised values (C, h, w) and validity (h, w); nothing valid where the chip has no such image."""
        if native is None:
            return np.zeros((len(statistics.mean), *self.size), np.float32), np.zeros(self.size, np.bool_)
        valid = self.symmetry.apply(native.valid)
        values = statistics.standardise(self.symmetry.apply(native.values), valid)
        if jitter is not None:
            values = jitter.apply(values, valid, self.rng)
        return pad(values, self.size, 0), pad(valid, self.size, False)

    def clouded(
        self, image: tuple[NDArray[np.float32], NDArray[np.bool_]], clouds: CloudCover
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The image without what a draw of clouds hides: 0 and not valid there."""
        hidden = clouds.draw((image[1].shape[0], image[1].shape[1]), self.rng)
        return image if hidden is None else (np.where(hidden, np.float32(0), image[0]), image[1] & ~hidden)

    def label(self, label: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        """The label (h, w); 255 where padded."""
        return None if label is None else pad(self.symmetry.apply(label), self.size, IGNORE_LABEL)

    def truth(self, planes: NDArray[Any] | None) -> NDArray[Any] | None:
        """Targets or buildings (..., h, w); 0 where padded."""
        return None if planes is None else pad(self.symmetry.apply(planes), self.size, 0)
