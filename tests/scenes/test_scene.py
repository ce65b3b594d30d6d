"""Streaming scene prediction: exact for small kernels, flat memory, nothing lost."""

from __future__ import annotations

import errno
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from overcast.arithmetic import Precision
from overcast.errors import BundleError, ConfigError
from overcast.progress import Progress
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.raster.sources import ArraySource, Georeference, Pixels
from overcast.scenes.rotate import RotatedSink, RotatedSource
from overcast.scenes.scene import SceneOptions, plan_scene, predict_scene
from overcast.scenes.tiles import tile_batches
from overcast.scenes.tiling import split_axis

SENSOR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, nodata=0, gsd_m=0.5)
STATISTICS = BandStatistics(mean=(30.0, 25.0), std=(8.0, 9.0))
SMALL: dict[str, Any] = {"tile": 24, "overlap": 8, "margin": 2, "multiple": 1}


class Sink:
    """Collects windows; every pixel must come exactly once, in order."""

    def __init__(self, height: int, width: int) -> None:
        self.values = np.full((height, width), -1, np.float32)
        self.windows: list[Window] = []

    def write(self, window: Window, values: np.ndarray) -> None:
        assert values.shape == (window.height, window.width)
        assert (self.values[window.slices] == -1).all()
        self.values[window.slices] = values
        self.windows.append(window)


class Recorder(nn.Module):
    """A network that remembers what it was given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x.clone())
        return self.network(x)


def kernel(radius: int, seed: int = 0, bands: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Conv2d(bands, 1, 2 * radius + 1, padding=radius).eval()


def speckle(height: int, width: int, seed: int = 0, gaps: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(28, 8, (2, height, width)).astype(np.float32)
    values[:, rng.random((height, width)) < gaps] = 0
    return values


def untiled(values: np.ndarray, network: nn.Module) -> np.ndarray:
    """Probability (H, W) of the whole scene at once, NaN where invalid."""
    valid = SENSOR.valid(values)
    with torch.inference_mode():
        logits = network(torch.from_numpy(STATISTICS.standardise(values, valid))[None])
    return np.where(valid, torch.sigmoid(logits[0, 0]).numpy(), np.nan)


def tiled(values: np.ndarray, network: nn.Module, **options: Any) -> np.ndarray:
    sink = Sink(*values.shape[1:])
    predict_scene(ArraySource(values, SENSOR), network, STATISTICS, SceneOptions(**options), sink)
    return sink.values


def overcast_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("overcast")]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(12, 40),
    radius=st.integers(0, 2),
    extra=st.integers(0, 5),
    batch=st.integers(1, 3),
    gaps=st.sampled_from([0.0, 0.3, 0.97]),
    seed=st.integers(0, 99),
)
def test_tiled_is_untiled_for_kernels_that_fit_the_margin(height, width, tile, radius, extra, batch, gaps, seed):
    values, network = speckle(height, width, seed, gaps), kernel(radius, seed)
    found = tiled(values, network, tile=tile, overlap=2 * radius + extra, margin=radius, batch_size=batch, multiple=1)
    np.testing.assert_allclose(found, untiled(values, network), atol=1e-6, rtol=0)


def test_sizes_that_are_no_multiple_are_reflected():
    values, recorder = speckle(45, 70), Recorder(kernel(0))
    found = tiled(values, recorder, tile=64, overlap=8, margin=2, multiple=32)
    np.testing.assert_allclose(found, untiled(values, recorder.network), atol=1e-6)
    x = recorder.inputs[0]
    assert {tuple(x.shape[-2:]) for x in recorder.inputs} == {(64, 64)}
    assert torch.equal(x[..., 45:64, :], x[..., 25:44, :].flip(-2))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 1500), st.integers(1, 20), st.integers(0, 60), st.integers(0, 30))
def test_weights_of_an_axis_sum_to_one_and_tiles_are_few(length, tiles32, overlap, margin):
    tile = 32 * tiles32
    overlap, margin = min(overlap, tile - 1), min(margin, overlap // 2, (tile - 1) // 2)
    axis = split_axis(length, tile, overlap, margin, multiple=32)
    total = np.zeros(length)
    for index, start in enumerate(axis.starts):
        weights, used = axis.weights(index), axis.used(index)
        total[start : start + axis.tile] += weights
        assert not weights[: used.start].any()
        assert not weights[used.stop :].any()
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert axis.tile <= tile
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.tile == length
    gaps = np.diff(axis.starts)
    assert (gaps <= axis.tile - overlap).all()
    assert len(axis.starts) == (1 if length <= tile else -(-(length - overlap) // (tile - overlap)))


def test_blending_leaves_no_seam():
    """A network that depends on the place in the tile changes smoothly from tile to tile."""

    class PerTile(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return torch.full_like(x[:, :1], 2.0 if self.calls % 2 else -2.0)

    values = speckle(40, 400)
    found = tiled(values, PerTile(), tile=64, overlap=32, margin=4, multiple=1)
    jump = 2 * (1 / (1 + np.exp(-2)) - 0.5)  # between two tiles
    assert np.abs(np.diff(found, axis=1)).max() < 1.01 * jump / (32 - 8 + 1)


def test_invalid_pixels_reach_the_network_as_zero_and_the_sink_as_nan():
    values = speckle(60, 60)
    values[0, 10:20, 10:50] = np.nan
    values[1, 30:40, 5:15] = 0
    values[0, 50, 50] = np.inf
    recorder = Recorder(kernel(1))
    found = tiled(values, recorder, tile=64, overlap=0, margin=0, multiple=1)
    invalid = ~SENSOR.valid(values)
    assert np.array_equal(np.isnan(found), invalid)
    assert invalid.sum() == 400 + 100 + 1
    assert not recorder.inputs[0][0][:, torch.from_numpy(invalid)].any()
    assert recorder.inputs[0][0][:, torch.from_numpy(~invalid)].all()


def test_tiles_without_data_are_skipped():
    values = speckle(200, 200)
    values[:, :, 40:] = 0
    values[:, 100:] = 0
    recorder, sink = Recorder(kernel(1)), Sink(200, 200)
    options = SceneOptions(tile=40, overlap=8, margin=2, multiple=1)
    summary = predict_scene(ArraySource(values, SENSOR), recorder, STATISTICS, options, sink)
    assert summary.tiles == len(recorder.inputs) < 12
    assert summary.tiles + summary.skipped_tiles == 36
    assert summary.valid_pixels == 40 * 100
    assert summary.total_pixels == 200 * 200
    assert summary.computed_pixels == sum(x[:, 0].numel() for x in recorder.inputs)
    np.testing.assert_allclose(sink.values, untiled(values, recorder.network), atol=1e-6)


def test_scene_without_data_never_runs_the_network():
    recorder, sink = Recorder(kernel(1)), Sink(70, 50)
    source = ArraySource(np.zeros((2, 70, 50), np.float32), SENSOR)
    states: list[Progress] = []
    summary = predict_scene(source, recorder, STATISTICS, SceneOptions(**SMALL), sink, states.append)
    assert np.isnan(sink.values).all()
    assert not recorder.inputs
    assert summary.tiles == summary.valid_pixels == 0
    assert states[-1].done == states[-1].total == 70 * 50


def test_tile_rows_are_written_in_order_as_soon_as_they_are_finished():
    values, sink, seen = speckle(200, 50), Sink(200, 50), []
    options = SceneOptions(**SMALL, queue_batches=1)
    predict_scene(
        ArraySource(values, SENSOR), kernel(0), STATISTICS, options, sink, lambda state: seen.append(len(sink.windows))
    )
    assert sink.windows == sorted(sink.windows)
    assert sink.windows[-1].stop == (200, 50)
    assert max(seen) > 3  # long before the end


def test_progress_rises_to_the_whole_scene_and_estimates():
    states: list[Progress] = []
    source = ArraySource(speckle(100, 90), SENSOR)
    predict_scene(source, kernel(0), STATISTICS, SceneOptions(**SMALL), Sink(100, 90), states.append)
    done = [state.done for state in states]
    assert done == sorted(done)
    assert len(set(done)) == len(done)
    assert done[-1] == states[-1].total == 9000
    assert states[-1].remaining_s == 0
    assert states[0].remaining_s == pytest.approx((9000 - done[0]) / states[0].rate)


class Endless:
    """A source of any height that holds no pixel."""

    band_count = 2

    def __init__(self, height: int, width: int) -> None:
        self.georeference = Georeference(height, width, Affine.identity(), None)

    def read(self, window: Window) -> Pixels:
        values = np.full((2, window.height, window.width), 30 + window.row % 7, np.float32)
        return Pixels(values, np.ones(values.shape[1:], np.bool_))


class Nowhere:
    def write(self, window: Window, values: np.ndarray) -> None:
        pass


def test_memory_is_flat_in_height_and_bounded_in_width():
    def peak(height: int, width: int) -> int:
        tracemalloc.start()
        options = SceneOptions(tile=64, overlap=16, margin=4)
        predict_scene(Endless(height, width), kernel(0), STATISTICS, options, Nowhere())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    low = max(peak(512, 512), peak(512, 512))
    assert peak(4096, 512) < 1.1 * low
    shared = 32 * 4096 * (4 + 1)  # twice the overlap at most: sums and validity
    assert peak(512, 4096) < 1.1 * low + shared


class BoomError(Exception):
    pass


def test_error_of_the_source_arrives():
    class Broken(Endless):
        def read(self, window: Window) -> Pixels:
            if window.row > 100:
                raise BoomError("read")
            return super().read(window)

    with pytest.raises(BoomError, match="read"):
        predict_scene(Broken(500, 100), kernel(0), STATISTICS, SceneOptions(**SMALL), Nowhere())
    assert not overcast_threads()


@pytest.mark.parametrize("row", [0, 480])
def test_error_of_the_sink_arrives_and_nothing_is_written_after_it(row):
    class Full:
        written: list[int] = []  # noqa: RUF012

        def write(self, window: Window, values: np.ndarray) -> None:
            self.written.append(window.row)
            if window.row + window.height > row:
                raise OSError(errno.ENOSPC, "No space left on device")

    Full.written.clear()
    with pytest.raises(OSError, match="No space") as caught:
        predict_scene(Endless(500, 100), kernel(0), STATISTICS, SceneOptions(**SMALL), Full())
    assert caught.value.errno == errno.ENOSPC
    assert Full.written == sorted(Full.written)
    assert max(Full.written) <= row
    assert not overcast_threads()


def test_error_of_the_progress_arrives():
    def stop(_state: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_scene(Endless(500, 100), kernel(0), STATISTICS, SceneOptions(**SMALL), Nowhere(), stop)
    assert not overcast_threads()


def test_both_errors_are_told_when_writing_fails_too():
    wrote = threading.Event()

    class Full:
        def write(self, window: Window, values: np.ndarray) -> None:
            wrote.set()
            raise OSError(errno.ENOSPC, "No space left on device")

    def stop(state: object) -> None:
        if wrote.wait(timeout=0.05):
            raise BoomError("progress")

    with pytest.raises((BoomError, OSError)) as caught:
        predict_scene(Endless(500, 100), kernel(0), STATISTICS, SceneOptions(**SMALL, queue_batches=50), Full(), stop)
    told = f"{caught.value!r} {getattr(caught.value, '__notes__', '')}"
    assert "progress" in told
    assert "No space left" in told


def test_network_that_returns_nan_is_an_error():
    class Nan(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x[:, :1], torch.nan)

    with pytest.raises(BundleError, match="not numbers"):
        predict_scene(Endless(50, 50), Nan(), STATISTICS, SceneOptions(**SMALL), Nowhere())


def test_network_of_several_classes_is_refused():
    with pytest.raises(ConfigError, match="2 channels"):
        predict_scene(Endless(50, 50), nn.Conv2d(2, 2, 1), STATISTICS, SceneOptions(**SMALL), Nowhere())


@pytest.mark.parametrize("device", ["abacus", "cuda:77"])
def test_device_that_is_not_there_is_told(device):
    options = SceneOptions(**SMALL, device=device)
    assert options.tiles_per_pass == 8
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used"):
        predict_scene(Endless(50, 50), kernel(0), STATISTICS, options, Nowhere())


def test_bfloat16_is_close_to_full_precision():
    values, network = speckle(100, 80), kernel(1)
    full = tiled(values, network, **SMALL)
    half = tiled(values, network, **SMALL, precision=Precision.BF16, channels_last=False)
    assert 0 < np.abs(full - half).max() < 0.02


def test_network_runs_in_evaluation_mode():
    recorder = Recorder(nn.Sequential(nn.Dropout(0.9), nn.Conv2d(2, 1, 1))).train()
    tiled(speckle(20, 20), recorder, **SMALL)
    assert not recorder.network.training


def test_turned_scene_is_predicted_as_if_seen_from_the_other_side():
    values, network = speckle(50, 70, gaps=0.1), kernel(2)
    grid = Georeference(50, 70, Affine.identity(), None)
    sink = Sink(50, 70)
    turned = RotatedSource(ArraySource(values, SENSOR))
    predict_scene(turned, network, STATISTICS, SceneOptions(**SMALL), RotatedSink(sink, grid))
    expected = np.rot90(untiled(np.ascontiguousarray(np.rot90(values, 2, (1, 2))), network), 2)
    np.testing.assert_allclose(sink.values, expected, atol=1e-6)
    assert turned.band_count == 2


@pytest.mark.parametrize(
    "wrong",
    [{"tile": 0}, {"tile": 100}, {"overlap": 768}, {"margin": 40}, {"overlap": -1}, {"batch_size": 0}],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        SceneOptions(**wrong)


def test_tile_rows_side_by_side_are_read_column_by_column():
    source, plan = Endless(100, 80), plan_scene(Endless(100, 80).georeference, SceneOptions(**SMALL))
    apart = list(tile_batches(source, STATISTICS, plan, range(plan.tile_row_count)))
    windows: list[Window] = []

    class Watched(Endless):
        def read(self, window: Window) -> Pixels:
            windows.append(window)
            return super().read(window)

    found = list(tile_batches(Watched(100, 80), STATISTICS, plan, [0, 1, 2, 4], together=2))
    rows, cols = plan.rows.starts, plan.cols.starts
    expected = [(rows[tile_row], col) for group in ((0, 1), (2,), (4,)) for col in cols for tile_row in group]
    assert [(window.row, window.col) for window in windows] == expected
    assert [batch.tile_row for batch in found if batch.last] == [0, 1, 2, 4]
    assert found[-1].done == 4 * len(cols)
    for tile_row in (0, 1, 2, 4):
        sides = [
            [tile.values for batch in part if batch.tile_row == tile_row for tile in batch.tiles]
            for part in (apart, found)
        ]
        np.testing.assert_array_equal(sides[0], sides[1])
