"""Places found from what chips look like: scenes cut into shuffled chips, and near-duplicates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from raster_files import write_png
from scipy.ndimage import gaussian_filter

from overcast.data.chips import Chip
from overcast.data.splits.by_ground import cluster_split
from overcast.data.splits.clusters import ClusterOptions, cluster_labels, cluster_places, read_appearance, stability
from overcast.data.splits.leaks import check_split
from overcast.errors import ConfigError, InputError

SIDE = 96
DUPLICATES_ALONE = ClusterOptions(seam=None)


def scene(seed: int, layers: int = 3, side: int = 3 * SIDE) -> list[NDArray[np.uint8]]:
    """Independent layers of smooth texture with noise."""
    rng = np.random.default_rng(seed)
    smooth = [gaussian_filter(rng.normal(size=(side, side)), 2.5) for _ in range(layers)]
    return [
        np.clip(128 + 250 * s / np.abs(s).max() / 2 + rng.normal(0, 4, s.shape), 0, 255).astype(np.uint8)
        for s in smooth
    ]


def write_chip(folder: Path, key: str, layers: list[NDArray[np.uint8]]) -> Chip:
    files = [write_png(folder / f"layer{i}" / f"{key}.png", values) for i, values in enumerate(layers)]
    return Chip(key, key, tuple(files[:-1]), tuple(files[-1:]))


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> list[Chip]:
    """Three scenes of nine chips, shuffled; the key tells the scene, but is not looked at."""
    folder = tmp_path_factory.mktemp("mosaics")
    cut = [
        (f"{name}{row}{col}", [v[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE] for v in layers])
        for name, layers in (("a", scene(1)), ("b", scene(2)), ("c", scene(3)))
        for row in range(3)
        for col in range(3)
    ]
    order = np.random.default_rng(0).permutation(len(cut))
    return [write_chip(folder, *cut[i]) for i in order]


def test_chips_of_one_scene_come_together(mosaics: list[Chip]) -> None:
    placed = cluster_places(mosaics)
    assert [chip.key for chip in placed] == [chip.key for chip in mosaics]
    assert {chip.key: chip.place for chip in placed} == {chip.key: f"with {chip.key[0]}00" for chip in mosaics}


def test_a_split_of_the_found_places_never_cuts_a_scene(mosaics: list[Chip]) -> None:
    placed = cluster_places(mosaics)
    split = cluster_split(placed, 1 / 3, 1 / 3, seed=0)
    assert split.counts == {"train": 9, "validation": 9, "test": 9, "dropped": 0}
    assert all(report.clean for report in check_split(split, placed).values())


def test_without_seams_neighbours_stay_apart(mosaics: list[Chip]) -> None:
    labels = cluster_labels(read_appearance(mosaics), DUPLICATES_ALONE)
    assert len(np.unique(labels)) == len(mosaics)


def test_near_duplicates_in_one_layer_come_together(tmp_path: Path) -> None:
    base, other = scene(4, side=SIDE), scene(5, side=SIDE)
    fainter: NDArray[Any] = 0.8 * base[1] + 20 + np.random.default_rng(0).normal(0, 6, base[1].shape)
    revisit: list[NDArray[Any]] = [other[0], np.clip(fainter, 0, 255), other[2]]
    layers = {
        "base": base,
        "revisit": [v.astype(np.uint8) for v in revisit],
        "elsewhere": scene(6, side=SIDE),
    }
    chips = [write_chip(tmp_path, key, values) for key, values in layers.items()]
    assert [chip.place for chip in cluster_places(chips, DUPLICATES_ALONE)] == [
        "with base",
        "with base",
        "with elsewhere",
    ]


def test_flat_chips_resemble_nothing(tmp_path: Path) -> None:
    flat = [np.full((SIDE, SIDE), value, np.uint8) for value in (0, 255)]
    chips = [write_chip(tmp_path, str(i), flat) for i in range(3)]
    assert [chip.place for chip in cluster_places(chips)] == ["with 0", "with 1", "with 2"]


def test_chips_of_other_sizes_are_compared(tmp_path: Path) -> None:
    layers = scene(7, side=60)
    large = [np.kron(v, np.ones((3, 3), np.uint8)) for v in layers]
    chips = [write_chip(tmp_path, "large", large), write_chip(tmp_path, "small", layers)]
    assert [chip.place for chip in cluster_places(chips)] == ["with large", "with large"]


def test_stability_shows_merging_and_falling_apart(mosaics: list[Chip]) -> None:
    appearance = read_appearance(mosaics)
    rows = stability(appearance, [ClusterOptions(seam=seam) for seam in (0.35, 0.6, 0.7, 1.0)])
    assert [row.clusters for row in rows] == [3, 3, 3, 27]
    assert [row.largest for row in rows] == [9, 9, 9, 1]
    assert [row.single for row in rows] == [0, 0, 0, 27]


def test_thresholds_and_files_are_checked(tmp_path: Path, mosaics: list[Chip]) -> None:
    with pytest.raises(ConfigError, match="above 0 and not above 1"):
        ClusterOptions(duplicate=0)
    with pytest.raises(ConfigError, match="above 0 and not above 1"):
        ClusterOptions(seam=1.2)
    with pytest.raises(InputError, match="no chips"):
        read_appearance([])
    one = write_chip(tmp_path, "one", scene(8, layers=1, side=SIDE))
    with pytest.raises(InputError, match="chip one has 1 image files, others 3"):
        read_appearance([mosaics[0], one])
