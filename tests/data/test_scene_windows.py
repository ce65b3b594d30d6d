"""Training on scenes: where windows lie, what they may see, and how ground is shared out."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import yaml
from chip_files import AUGMENT
from hypothesis import given, settings
from hypothesis import strategies as st
from known import known
from scene_files import LEFT, SIDE, TOP, houses, with_place, write_town, write_vector

from overcast.batch import IGNORE_LABEL, Modality
from overcast.config.data import ScenesData, build_data
from overcast.data.catalog import Catalog
from overcast.data.chips import Chip
from overcast.data.dataset import ChipDataset, Draw, SampleOptions
from overcast.data.identity import training_data
from overcast.data.samples import Sample
from overcast.data.scenes.catalog import scenes_catalog
from overcast.data.scenes.tiles import tiles_of
from overcast.data.scenes.windows import TrainingGround
from overcast.data.splits.leaks import check_split, require_clean_split
from overcast.data.splits.parts import Part, Split
from overcast.data.statistics import compute_statistics
from overcast.data.targets import Targets
from overcast.errors import ConfigError, LeakError
from overcast.raster.grid import Window
from overcast.training.loader import TrainLoader
from overcast.training.order import ONE_PROCESS, SampleOrder

BOTH = frozenset(Modality)
TILE, CROP = 32, 48


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_town(tmp_path_factory.mktemp("town"))


def built(root: Path, **split: Any) -> tuple[Catalog, Split]:
    chosen = split or {"by": "blocks", "block_m": 32.0, "test_share": 0.3, "validation_share": 0.2}
    return build_data(ScenesData.model_validate({"root": root, "tile_px": TILE, "split": chosen}))


@pytest.fixture(scope="module")
def data(town: Path) -> tuple[Catalog, Split]:
    return built(town)


def dataset(data: tuple[Catalog, Split], part: Part = Part.TRAIN, **options: Any) -> ChipDataset:
    catalog, split = data
    chips = catalog.select(split.keys(part))
    statistics = compute_statistics(catalog.select(split.train), catalog.radiometry)
    chosen = SampleOptions(**{"crop": CROP, "seed": 5, "around_footprints": 0.5} | options)
    return ChipDataset(chips, catalog.radiometry, catalog.label, statistics, chosen, BOTH)


def bytes_of(sample: Sample) -> list[bytes | None]:
    arrays = (sample.sar, sample.sar_valid, sample.optical, sample.optical_valid, sample.label, sample.targets)
    return [None if array is None else array.tobytes() for array in arrays]


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("options", [{}, {"augment": AUGMENT, "targets": Targets(edge=True, contact=True)}])
def test_a_draw_does_not_depend_on_cache_or_order(data: tuple[Catalog, Split], options: dict[str, Any]) -> None:
    draws = [Draw(index, stream) for index in (0, 3, 7) for stream in (1, 2)]
    plain, cached = dataset(data, **options), dataset(data, cache_bytes=10**8, **options)
    partly = dataset(data, cache_bytes=10**4, **options)
    backwards = {draw: bytes_of(cached[draw]) for draw in reversed(draws)}
    for draw in draws:
        assert bytes_of(plain[draw]) == backwards[draw] == bytes_of(partly[draw])
        assert plain[draw].shape == (CROP, CROP)


def test_batches_do_not_depend_on_the_number_of_threads(data: tuple[Catalog, Split]) -> None:
    def batches(workers: int) -> list[str]:
        chosen = dataset(data, cache_bytes=10**5)
        order = SampleOrder(len(chosen), 1, 4)
        loader = TrainLoader(chosen, order, 0, 4, ONE_PROCESS, workers)
        tensors = (getattr(batch, name) for parts in loader for batch in parts for name in ("sar", "optical", "label"))
        return [_digest(tensor.numpy()) for tensor in tensors if tensor is not None]

    assert batches(0) == batches(3)


@given(index=st.integers(0, 13), stream=st.integers(0, 2**40), kept=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_window_holds_training_ground_and_nothing_else(
    data: tuple[Catalog, Split], index: int, stream: int, kept: bool
) -> None:
    catalog, split = data
    chips = catalog.select(split.train)
    ground = TrainingGround(chips, 0.5)
    allowed = np.zeros((SIDE, SIDE), bool)
    for tile in tiles_of(chips):
        allowed[tile.window.slices] = True
    placed = ground.draw(index, np.random.default_rng(stream), CROP)
    place = tiles_of(chips)[0].of
    found = ground.read(index, placed, lambda other, window: tiles_of(chips)[other].read(BOTH, window), lambda _: kept)
    whole = place.read(placed.window, BOTH)
    inside = allowed[placed.window.slices]
    for mine, theirs in ((found.sar, whole.sar), (found.optical, whole.optical)):
        assert mine is not None
        assert theirs is not None
        np.testing.assert_array_equal(mine.valid, theirs.valid & inside)
        np.testing.assert_array_equal(mine.values, np.where(inside, theirs.values, 0))
    if chips[index].labelled:
        assert found.label is not None
        assert (found.label[~inside] == IGNORE_LABEL).all()
        known = found.label != IGNORE_LABEL
        assert whole.label is not None
        np.testing.assert_array_equal(found.label[known], whole.label[known])
    else:
        assert found.label is None


def draws(ground: TrainingGround, index: int, count: int, side: int) -> list[Window]:
    return [ground.draw(index, np.random.default_rng(number), side).window for number in range(count)]


def test_windows_are_uniform_over_the_ground_or_around_footprints(town: Path) -> None:
    chips = scenes_catalog(with_place(town, labelled_area=None), TILE).chips
    corners = np.array([(w.row, w.col) for w in draws(TrainingGround(chips, 0.0), 0, 4000, 1)])
    counts, *_ = np.histogram2d(corners[:, 0], corners[:, 1], bins=5, range=((0, SIDE), (0, SIDE)))
    assert np.abs(counts / 160 - 1).max() < 0.3  # 160 expected, 2.4 standard deviations of 12.6
    outlines = shapely.union_all(houses())

    def held(share: float) -> float:
        windows = draws(TrainingGround(chips, share), 0, 600, 12)
        boxes = [shapely.box(LEFT + w.col, TOP - w.stop[0], LEFT + w.stop[1], TOP - w.row) for w in windows]
        return float(shapely.intersects(outlines, np.array(boxes)).mean())

    chance = held(0.0)
    assert held(1.0) == 1.0
    assert abs(held(0.5) - (0.5 + chance / 2)) < 0.06


def test_a_window_is_of_the_kind_of_its_chip(town: Path) -> None:
    chips = scenes_catalog(with_place(town, "bare", sar="sar.tif"), TILE).chips
    ground = TrainingGround(chips, 0.5)
    bare = next(index for index, chip in enumerate(chips) if chip.place == "bare")
    assert {ground.draw(bare, np.random.default_rng(n), 16).place for n in range(30)} == {"bare"}
    unknown = next(i for i, chip in enumerate(chips) if chip.place == "centre" and not chip.labelled)
    centres = [w.col + w.width // 2 for w in draws(ground, unknown, 200, 2)]
    assert min(centres) >= 127  # the labelled area ends at 100, in the tile that ends at 128


def test_blocks_share_no_ground_and_only_labelled_tiles_are_scored(data: tuple[Catalog, Split]) -> None:
    catalog, split = data
    require_clean_split(split, catalog.chips)
    assert len({chip.place for chip in catalog.chips}) > 20  # a block each, the unit of the bootstrap
    for part in (Part.VALIDATION, Part.TEST):
        assert split.keys(part)
        assert all(chip.labelled for chip in catalog.select(split.keys(part)))
    assert not all(chip.labelled for chip in catalog.select(split.train))
    every = {*split.train, *split.validation, *split.test, *(key for drop in split.dropped for key in drop.keys)}
    assert every == {chip.key for chip in catalog.chips}


def test_ground_without_labels_is_for_training_alone(town: Path) -> None:
    chosen = {"by": "blocks", "block_m": 32.0, "test_share": 0.3, "validation_share": 0.2}
    catalog, split = build_data(ScenesData.model_validate({"root": town, "tile_px": TILE, "split": chosen}))
    assert {chip.labelled for chip in catalog.select(split.train)} == {True, False}
    assert all(chip.labelled for chip in catalog.select(split.validation + split.test))


def test_polygons_leave_out_what_their_border_crosses(town: Path) -> None:
    root = town.parent
    test = write_vector(root / "test.gpkg", [shapely.box(LEFT - 5, TOP - 70, LEFT + 75, TOP + 5)])
    validation = write_vector(root / "validation.gpkg", [shapely.box(LEFT, TOP - SIDE, LEFT + 64, TOP - 96)])
    catalog, split = built(town, by="polygons", test=str(test), validation=str(validation))
    assert sorted(split.test) == [f"centre/r00{r}c00{c}" for r in (0, 1) for c in (0, 1)]
    assert len(split.validation) == 4
    # of the test polygon, 80 x 75 m, a row of 3 tiles and a column of 2 are cut
    assert sum(len(drop.keys) for drop in split.dropped) == 5
    reports = check_split(split, catalog.chips)
    assert all(report.clean for report in reports.values())
    with pytest.raises(ConfigError, match="overlap"):
        built(town, by="polygons", test=str(test), validation=str(test))


def test_two_scenes_of_one_ground_are_a_leak(town: Path) -> None:
    """By their ground, whatever their files and coordinate systems."""
    catalog = scenes_catalog(with_place(town, "again", sar="sar.tif", footprints="houses.gpkg"), TILE)
    by_place = {name: tuple(c.key for c in catalog.chips if c.place == name) for name in ("centre", "again")}
    with pytest.raises(LeakError, match="of ground"):
        require_clean_split(Split(by_place["centre"], (), by_place["again"]), catalog.chips)
    catalog, split = built(with_place(town, "again", sar="sar.tif", footprints="houses.gpkg"))
    require_clean_split(split, catalog.chips)


def test_one_orthophoto_behind_two_scenes_counts_by_its_ground(town: Path) -> None:
    """The sheets of the second place are those of the first, in another coordinate system."""
    shown = {"optical": ["west.tif", "east.tif"], "footprints": "houses.gpkg"}
    description = with_place(town, "teacher", **shown)
    content = yaml.safe_load(description.read_text())
    description.write_text(yaml.safe_dump(content | {"grid": {"gsd_m": 1.0}}))
    catalog = scenes_catalog(description, TILE)
    sar = tuple(chip.key for chip in catalog.chips if chip.place == "centre")
    optical = tuple(chip.key for chip in catalog.chips if chip.place == "teacher")
    with pytest.raises(LeakError):
        require_clean_split(Split(optical, (), sar), catalog.chips)


def test_statistics_of_scenes_are_taken_from_a_bounded_number_of_tiles(
    data: tuple[Catalog, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, split = data
    chips = catalog.select(split.train)
    read: list[str] = []

    def counted(tile: Chip) -> Chip:
        class Counting:
            labelled, grid, files, definition = (
                getattr(tile.scene, n) for n in ("labelled", "grid", "files", "definition")
            )

            def read(self, modalities: frozenset[Modality]) -> object:
                read.append(tile.key)
                return known(tile.scene).read(modalities)

        return replace(tile, scene=Counting())  # type: ignore[arg-type]

    exact = compute_statistics(chips, catalog.radiometry)
    monkeypatch.setattr("overcast.data.statistics.LARGEST_SAMPLE", 5)
    sampled = compute_statistics([counted(chip) for chip in chips], catalog.radiometry)
    assert 0 < len(read) <= 10
    np.testing.assert_allclose(sampled.sar.mean, exact.sar.mean, rtol=0.1)


def test_a_shift_changes_the_identity_of_the_data(town: Path) -> None:
    def identity(path: Path) -> str:
        catalog = scenes_catalog(path, TILE)
        keys = tuple(chip.key for chip in catalog.chips)
        return training_data(catalog, "", keys, (), ()).train.sha256

    assert identity(town) == identity(with_place(town))
    assert identity(town) != identity(with_place(town, shift_m={"optical": [1.0, 0.0]}))
