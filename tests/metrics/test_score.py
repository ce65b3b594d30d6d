"""Footprints of a scene against reference footprints: hand-worked scenes, other formats and coordinate systems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry
from typer.testing import CliRunner

from overcast.cli import app
from overcast.errors import InputError
from overcast.metrics.footprints import FootprintOptions, score_footprints
from overcast.metrics.instances import Instance, match_instances

CRS = "EPSG:32631"
LEFT, TOP = 590_000.0, 5_750_000.0


def _house(x: float, y: float, width: float = 10, height: float = 10) -> shapely.Polygon:
    return shapely.box(LEFT + x, TOP + y, LEFT + x + width, TOP + y + height)


def _write(path: Path, houses: Sequence[BaseGeometry], crs: str = CRS, **columns: list[float]) -> Path:
    table = geopandas.GeoDataFrame(columns, geometry=houses, crs=CRS).to_crs(crs)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_file(path)
    return path


TRUE = [_house(0, 0), _house(20, 0), _house(40, 0), _house(60, 0, 3, 3)]
CLAIMED = [_house(1, 0), _house(20, 0, 4), _house(100, 100), _house(80, 0, 2, 2)]
"""One right (IoU 9/11), one too small to match (0.4), one that is not there, one below the least area."""


def test_a_scene_worked_by_hand(tmp_path: Path) -> None:
    claimed = _write(tmp_path / "claimed.gpkg", CLAIMED, confidence=[0.9, 0.8, 0.7, 0.6])
    found = score_footprints(claimed, _write(tmp_path / "true.gpkg", TRUE))
    assert (found.instances.tp, found.instances.fp, found.instances.fn) == (1, 2, 2)
    assert found.polis.mean_m == pytest.approx(0.5)
    assert found.area_iou == pytest.approx((90 + 40) / (100 + 40 + 100 + 4 + 309 - 130))
    assert found.detections.ap50 == pytest.approx(34 / 101)  # recall 1/3 at precision 1: recalls 0 .. 0.33
    assert (found.predictions, found.truths) == (4, 4)


@pytest.mark.parametrize("name", ["other.geojson", "other.parquet", "other.gpkg"])
def test_formats_and_coordinate_systems_do_not_matter(tmp_path: Path, name: str) -> None:
    true = _write(tmp_path / "true.gpkg", TRUE)
    plain = score_footprints(_write(tmp_path / "claimed.gpkg", CLAIMED, confidence=[0.9, 0.8, 0.7, 0.6]), true)
    other = _write(tmp_path / name, CLAIMED, "EPSG:4326", confidence=[0.9, 0.8, 0.7, 0.6])
    found = score_footprints(other, true)
    assert found.instances == plain.instances
    assert found.area_iou == pytest.approx(plain.area_iou, abs=1e-4)
    degrees = score_footprints(other, _write(tmp_path / "degrees.gpkg", TRUE, "EPSG:4326"))
    assert degrees.instances == plain.instances
    assert degrees.polis.mean_m == pytest.approx(0.5, rel=1e-3)


def test_the_surer_of_two_takes_the_footprint(tmp_path: Path) -> None:
    twice = [_house(0, 0, 9), _house(0, 0, 8)]
    true = _write(tmp_path / "true.gpkg", TRUE[:1])
    first = score_footprints(_write(tmp_path / "a.gpkg", twice, confidence=[0.2, 0.9]), true)
    named = FootprintOptions(confidence="sure")
    second = score_footprints(_write(tmp_path / "b.gpkg", twice, sure=[0.9, 0.2]), true, named)
    assert first.instances == second.instances
    assert first.polis.mean_m is not None
    assert second.polis.mean_m is not None
    assert first.polis.mean_m > second.polis.mean_m


def test_only_the_ground_asked_for_counts(tmp_path: Path) -> None:
    area = _write(tmp_path / "area.geojson", [_house(-5, -5, 40, 20)], "EPSG:4326")
    claimed, true = _write(tmp_path / "claimed.gpkg", CLAIMED), _write(tmp_path / "true.gpkg", TRUE)
    found = score_footprints(claimed, true, FootprintOptions(area=area))
    assert (found.instances.tp, found.instances.fp, found.instances.fn) == (1, 1, 1)
    assert (found.predictions, found.truths) == (2, 2)


@pytest.mark.parametrize("shift", [0, 360])
def test_an_area_may_be_the_whole_world(tmp_path: Path, shift: float) -> None:
    """Its corners have no place in UTM."""
    world = [shapely.box(-180 + shift, -90, 180 + shift, 90)]
    geopandas.GeoDataFrame(geometry=world, crs="EPSG:4326").to_file(tmp_path / "area.gpkg")
    claimed, true = _write(tmp_path / "claimed.gpkg", CLAIMED), _write(tmp_path / "true.gpkg", TRUE)
    assert score_footprints(claimed, true, FootprintOptions(area=tmp_path / "area.gpkg")) == score_footprints(
        claimed, true
    )


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    true = _write(tmp_path / "true.gpkg", TRUE)
    geopandas.GeoDataFrame(geometry=TRUE).to_parquet(tmp_path / "nowhere.parquet")
    with pytest.raises(InputError, match=r"nowhere\.parquet names no coordinate system"):
        score_footprints(tmp_path / "nowhere.parquet", true)
    empty = _write(tmp_path / "empty.gpkg", [])
    with pytest.raises(InputError, match=r"empty\.gpkg holds no polygon"):
        score_footprints(true, empty)
    points = _write(tmp_path / "points.gpkg", [house.centroid for house in TRUE])
    with pytest.raises(InputError, match=r"points\.gpkg holds Point, but no polygon"):
        score_footprints(points, true)
    claimed = _write(tmp_path / "claimed.gpkg", CLAIMED, sure=[0.9] * len(CLAIMED))
    with pytest.raises(InputError, match=r"claimed\.gpkg has no column certain; name one of sure"):
        score_footprints(claimed, true, FootprintOptions(confidence="certain"))
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match=r"none\.geojson holds no polygon"):
        score_footprints(true, tmp_path / "none.geojson")
    nothing = score_footprints(empty, true)
    assert (nothing.instances.tp, nothing.instances.fn) == (0, 3)
    assert nothing.area_iou == 0


def test_the_command_prints_the_figures(tmp_path: Path) -> None:
    claimed, true = _write(tmp_path / "claimed.gpkg", CLAIMED), _write(tmp_path / "true.gpkg", TRUE)
    result = CliRunner().invoke(app, ["score", str(claimed), str(true), "--json"])
    assert json.loads(result.stdout)["missed"] == 2
    assert "instance_f1" in CliRunner().invoke(app, ["score", str(claimed), str(true)]).stdout


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90)), min_size=1, max_size=12), st.integers(0, 99))
def test_a_scene_matches_like_its_parts_far_apart(places: list[tuple[float, float]], seed: int) -> None:
    """A whole scene is matched like separate chips where no footprint reaches from one into another."""
    shift = np.random.default_rng(seed).uniform(-3, 3, (len(places), 2))
    true = [_house(x, y) for x, y in places]
    claimed = [_house(x + dx, y + dy) for (x, y), (dx, dy) in zip(places, shift, strict=True)]
    sure = [Instance(outline, 0.5 + index / 100) for index, outline in enumerate(claimed)]
    far = [Instance(shapely.affinity.translate(i.outline, 1e4), i.confidence) for i in sure]
    one = match_instances(sure, true).counts
    both = match_instances([*sure, *far], [*true, *(shapely.affinity.translate(t, 1e4) for t in true)]).counts
    assert (both.tp, both.fp, both.fn) == (2 * one.tp, 2 * one.fp, 2 * one.fn)


def test_a_reference_that_covers_a_part_only_is_told(tmp_path: Path) -> None:
    true = _write(tmp_path / "true.gpkg", TRUE)
    whole = _write(tmp_path / "whole.gpkg", [*TRUE, _house(-30, 0)])
    assert score_footprints(whole, true).note is None
    claimed = _write(tmp_path / "claimed.gpkg", [*TRUE, *(_house(500 + 20 * i, 0) for i in range(3))])
    scores = score_footprints(claimed, true)
    assert (scores.beyond, scores.summary()["beyond_reference"]) == (3, 3)
    result = CliRunner().invoke(app, ["score", str(claimed), str(true)])
    said = " ".join(result.stdout.split())
    assert "note: 3 of 7 predicted footprints lie more than 50 m outside" in said
    assert "--area" in said
    area = _write(tmp_path / "area.gpkg", [shapely.box(LEFT - 5, TOP - 5, LEFT + 80, TOP + 20)])
    assert score_footprints(claimed, true, FootprintOptions(area=area)).note is None


def test_the_command_writes_what_was_matched_missed_and_invented(tmp_path: Path) -> None:
    claimed = _write(tmp_path / "claimed.gpkg", CLAIMED, confidence=[0.9, 0.8, 0.7, 0.6])
    true, layered, flat = _write(tmp_path / "true.gpkg", TRUE), tmp_path / "c.gpkg", tmp_path / "c.parquet"
    for output in (layered, flat):
        assert CliRunner().invoke(app, ["score", str(claimed), str(true), "-o", str(output)]).exit_code == 0
    found = {name: geopandas.read_file(layered, layer=name) for name in ("matched", "missed", "invented")}
    assert [len(table) for table in found.values()] == [1, 2, 2]
    assert found["matched"]["iou"].to_list() == pytest.approx([9 / 11])
    assert found["invented"]["confidence"].to_list() == [0.8, 0.7]
    assert sorted(found["missed"].geometry.centroid.x - LEFT) == [25, 45]
    assert geopandas.read_parquet(flat)["result"].to_list() == ["matched", "invented", "invented", "missed", "missed"]
    refused = CliRunner().invoke(app, ["score", str(claimed), str(true), "-o", str(flat)])
    assert isinstance(refused.exception, InputError)
    assert not list(tmp_path.glob(".c.*"))
