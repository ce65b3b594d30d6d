"""The measures of benchmarks/peers, against truth that can be counted by hand."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from where import ROOT

from overcast.bundle.bundle import BUNDLED, load_bundle

FOLDER = ROOT / "benchmarks" / "peers"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"peers_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


measures = loaded("measures")
common = loaded("common")
table = loaded("table")


def test_a_ramp_has_no_seam_and_a_step_has_one() -> None:
    ramp = np.add.outer(np.arange(8), np.arange(8)).astype(np.float32)
    assert measures.seam(ramp, ((4,), (4,))) == pytest.approx(1)
    ramp[4:] += 3
    assert measures.seam(ramp, ((4,), ())) == pytest.approx(4)
    assert measures.seam(ramp, ((), ())) is None


def test_a_building_that_ends_at_a_border_is_cut_and_one_that_goes_on_is_not() -> None:
    reference = np.zeros((12, 24), np.bool_)
    reference[3:9, 2:7] = reference[3:9, 10:14] = reference[3:9, 17:22] = True
    polygon = np.where(reference, 1, 0)
    assert measures.cut(polygon, reference, ((6,), ())) == 0
    polygon[6:, 2:7] = 0  # the first ends at row 6
    polygon[6:, 10:14] = 2  # the second becomes two polygons
    polygon[6:, 17:19] = 0  # the third loses two pixels, less than a side
    polygon[:6, 10:14] = 3
    assert measures.cut(polygon, reference, ((6,), ())) == 2
    assert measures.cut(polygon.T, reference.T, ((), (6,))) == 2
    assert measures.cut(polygon, reference, ((4,), ())) == 0


def test_a_true_border_of_a_building_on_a_tile_border_is_no_cut() -> None:
    reference = np.zeros((8, 8), np.bool_)
    reference[:4] = True
    assert measures.cut(reference.astype(np.int32), reference, ((4,), ())) == 0


def test_borders_lie_where_the_set_of_tiles_changes() -> None:
    length, tile, crop = 100, 40, 5
    starts = common.stepped(length, tile, 25)
    assert starts == [0, 25, 50, 60]
    sets = [
        frozenset(s for s in starts if s + crop * (s > 0) <= x < s + tile - crop * (s + tile < length))
        for x in range(length)
    ]
    expected = tuple(x for x in range(1, length) if sets[x] != sets[x - 1])
    assert common.changes(starts, tile, length, crop) == expected


def test_a_frame_is_left_out_and_borders_move_with_it() -> None:
    assert measures.within(((128, 129, 200), (383, 384)), (512, 512)) == ((1, 72), (255,))


def test_the_control_lines_are_no_borders() -> None:
    rows, cols = measures.aside(((64, 128), (75, 64)), (136, 200))
    assert rows == (75,)
    assert cols == (86,)


def test_the_run_of_median_seconds_is_shown_with_the_spread() -> None:
    runs = [table.Row("a", "A", facts={"seconds": seconds, "peak_mb": seconds}) for seconds in (3.0, 1.0, 2.0)]
    row = table.median_row(runs)
    assert (row.facts["peak_mb"], row.spread) == (2.0, (1.0, 3.0))
    assert table.median_row(runs[:2]).facts["seconds"] == 3.0
    assert table.median_row(runs[:1]) == runs[0]
    failed = table.Row("a", "A", failure="exit 1")
    assert table.median_row([*runs, failed]) == failed


def test_rows_are_compared_with_the_untiled_result_of_their_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    run = loaded("run")
    assert run.ordered(["one-8bit"]) == ["one-whole", "one-8bit"]
    assert run.ordered(["overcast-8bit", "plain"]) == ["whole", "plain", "overcast-first", "overcast-8bit"]
    bundle = load_bundle(BUNDLED)
    material = run.Material(Path("scene.tif"), Path("weights.pt"), bundle)
    own = run.job_of(run.PEERS["one-8bit"], Path("out"), material)
    assert (own["bundle"], own["mean"]) == (str(bundle.path.absolute()), bundle.info.statistics.sar.mean)
    assert run.job_of(run.PEERS["plain"], Path("out"), material)["bundle"] is None
    with pytest.raises(SystemExit, match="no model of one stream"):
        run.fitting_bundle(BUNDLED)
