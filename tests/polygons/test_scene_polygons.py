"""From a mask seen as a scene to polygons: those of the whole mask, whatever tiles the scene was computed in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
import torch
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely.geometry import shape
from torch import nn

from overcast.batch import Modality
from overcast.choices import Outlines
from overcast.polygons.footprints import PolygonOptions, vectorize
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.raster.sources import ArraySource, Georeference
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.scene import SceneOptions, predict_scene

SENSOR = SensorRadiometry(bands=("HH",), unit=Unit.DECIBEL, nodata=0, gsd_m=0.5, accept_values=True)
"""Of two values by design, and so it may be of one."""
STATISTICS = BandStatistics(mean=(20.0,), std=(5.0,))
PROBABILITY = SensorRadiometry(bands=("probability",), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5)
NORTH_UP = Affine(0.5, 0, 593000, 0, -0.5, 5750000)
DARK, BRIGHT, NODATA = 10, 30, 0
"""Standardised -2 and 2, by `Pointwise` probabilities of 0.02 and 0.98."""


class Pointwise(nn.Module):
    """Probability of a pixel by that pixel alone: twice its standardised value is the logit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


MODEL = SceneModel(Pointwise(), SENSOR, STATISTICS, Modality.SAR, "building", "points", "0123456789abcdef", "CC0-1.0")


class Whole:
    """A sink that keeps everything."""

    def __init__(self, height: int, width: int) -> None:
        self.values = np.full((height, width), np.nan, np.float32)

    def write(self, window: Window, values: np.ndarray) -> None:
        self.values[window.slices] = values


scenes = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 48), st.integers(1, 48)),
    elements=st.sampled_from([DARK, BRIGHT]),
    fill=st.nothing(),
)
"""(H, W) masks of single pixels; blocks and gaps come on top."""
boxes = st.lists(
    st.tuples(*[st.integers(0, 47)] * 2, *[st.integers(1, 30)] * 2, st.sampled_from([DARK, BRIGHT, NODATA]))
)


@st.composite
def cuts(draw: st.DrawFn) -> dict[str, int]:
    """Every way of cutting that `SceneOptions` allows: few pixels so that small scenes have many tiles."""
    multiple = draw(st.sampled_from([1, 2, 8]))
    tile = multiple * draw(st.integers(-(-4 // multiple), 40 // multiple))
    overlap = draw(st.integers(0, tile - 1))
    assume(tile - overlap >= 3)  # a step of a pixel or two only makes more tiles
    return {
        "tile": tile,
        "overlap": overlap,
        "margin": draw(st.integers(0, overlap // 2)),
        "multiple": multiple,
        "batch_size": draw(st.integers(1, 4)),
    }


def with_boxes(pixels: np.ndarray, drawn: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    values = pixels.copy()
    for row, col, height, width, value in drawn:
        values[row : row + height, col : col + width] = value
    return values


def oracle(values: np.ndarray) -> list[str]:
    """Polygons of rasterio on the whole mask, as a set."""
    mask = values == BRIGHT
    found = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=NORTH_UP)
    return canonical([shape(geometry) for geometry, _ in found])


def canonical(polygons: object) -> list[str]:
    return sorted(shapely.to_wkb(shapely.normalize(np.array(polygons, object)), hex=True).tolist())


@settings(max_examples=60)
@given(scenes, boxes, cuts(), st.integers(1, 48))
def test_polygons_of_a_tiled_scene_are_those_of_its_untiled_mask(pixels, drawn, cut, strip_rows):
    values = with_boxes(pixels, drawn)
    height, width = values.shape
    grid = Georeference(height, width, NORTH_UP, "EPSG:32631")
    sink = Whole(*values.shape)
    predict_scene(ArraySource(values[None], SENSOR, grid), Pointwise(), STATISTICS, SceneOptions(**cut), sink)
    options = PolygonOptions(outlines=Outlines.OFF, strip_pixels=strip_rows * values.shape[1])
    portions = vectorize(ArraySource(sink.values[None], PROBABILITY, grid), options)
    assert canonical([polygon for portion in portions for polygon in portion.geometry]) == oracle(values)


@settings(max_examples=12)
@given(scenes, boxes, cuts(), st.integers(1, 48))
def test_so_are_those_in_the_file(pixels, drawn, cut, strip_rows):
    """The same through files: blocks on disk, probability in 8 bits, GeoParquet."""
    values = with_boxes(pixels, drawn)
    options = PredictOptions(
        scene=SceneOptions(**cut),
        polygons=PolygonOptions(outlines=Outlines.OFF, strip_pixels=strip_rows * values.shape[1]),
        style=False,
        stac=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        scene, footprints = Path(folder, "scene.tif"), Path(folder, "f.parquet")
        with rasterio.open(
            scene, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1], dtype="float32",
            crs="EPSG:32631", transform=NORTH_UP,
        ) as dataset:  # fmt: skip
            dataset.write(values, 1)
        predict_file([scene], MODEL, sensor=SENSOR, footprints=footprints, options=options)
        assert canonical(gpd.read_parquet(footprints).geometry) == oracle(values)
