"""Training on scenes, from the description to bundles and scores."""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_SETS
from rich.console import Console
from scene_files import write_town

from overcast.batch import InputModalities
from overcast.bundle.bundle import load_bundle
from overcast.config import load_config, open_run, train
from overcast.data.scenes.tiles import tiles_of
from overcast.data.splits.by_ground import Part
from overcast.metrics.pixel import PixelCounts, count_pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("method", ["sar", "cmhcl"])
def test_a_town_trains_and_is_tested_on_every_labelled_pixel_once(method: str, tmp_path: Path) -> None:
    town = write_town(tmp_path / "town")
    split = "{by: blocks, block_m: 32, test_share: 0.3, validation_share: 0.2}"
    data = f"data={{name: scenes, root: {town.parent}, tile_px: 32, split: {split}}}"
    own = [override for override in TINY_SETS if not override.startswith(("data", "method"))]
    sets = [*own, data, f"method.name={method}", "training.steps=2"]
    result = train(load_config(None, sets), tmp_path / "run", console=Console(file=io.StringIO()))
    assert np.isfinite(list(result.metrics["validation sar"].values())).all()
    radiometry = load_bundle(result.deployable).info.radiometry
    assert radiometry.sar.bands == ("VV",)
    assert radiometry.sar.gsd_m == 1.0

    run = open_run(tmp_path / "run")
    counts = PixelCounts()
    for batch in run.batches(Part.TEST, (InputModalities.SAR,), instances=True):
        label = batch.require("label")
        counts += count_pixels(label.float()[:, None], label, threshold=0.5)
        assert ((batch.require("instances") > 0) == (label == 1))[label != 255].all()
    tiles = run.catalog.select(run.split.test)
    known = sum(int(tile.of.known(tile.window).sum()) for tile in tiles_of(tiles))
    assert counts.tp + counts.fp + counts.fn + counts.tn == known
    assert counts.iou == 1.0
