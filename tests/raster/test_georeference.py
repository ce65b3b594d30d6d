"""Pixel grids: windows, envelopes, when two are one, and the command that brings them together."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from raster_files import NORTH_UP, UTM, write_tiff
from rasterio.windows import Window as RasterioWindow

from overcast.errors import InputError
from overcast.raster.georeference import Georeference, require_same_grid, same_grid
from overcast.raster.grid import Window
from overcast.raster.sources import open_grid

ROTATED = Affine.translation(593000.0, 5750000.0) @ Affine.rotation(30.0) @ Affine.scale(0.5, -0.5)


def test_a_rotated_geotransform_is_kept(tmp_path: Path) -> None:
    grid = open_grid(write_tiff(tmp_path / "a.tif", np.ones((1, 12, 9), np.float32), transform=ROTATED))
    assert grid.transform.almost_equals(ROTATED)
    assert grid.gsd_m == pytest.approx(0.5)
    assert not grid.north_up
    assert grid.crs == UTM


@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")  # in rasterio
def test_the_grid_of_a_window_is_the_one_rasterio_gives(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", np.ones((1, 12, 9), np.float32), transform=ROTATED)
    with rasterio.open(path) as file:
        expected = file.window_transform(RasterioWindow(3, 4, 2, 5))
        bounds = file.bounds
    crop = open_grid(path).crop(Window(4, 3, 5, 2))
    assert crop.transform.almost_equals(expected)
    assert (crop.height, crop.width) == (5, 2)
    north_up = open_grid(write_tiff(tmp_path / "b.tif", np.ones((1, 12, 9), np.float32)))
    left, bottom, right, top = north_up.extent
    assert (left, top) == (NORTH_UP.c, NORTH_UP.f)
    assert (right, bottom) == (left + 4.5, top - 6.0)
    assert open_grid(path).extent == pytest.approx(bounds)


def grid(transform: Affine = NORTH_UP, crs: str | None = UTM, height: int = 12, width: int = 9) -> Georeference:
    return Georeference(height, width, transform, crs)


def test_grids_count_as_one_within_a_tenth_of_a_pixel() -> None:
    def moved(pixels: float) -> Georeference:
        return grid(NORTH_UP @ Affine.translation(pixels, 0))

    assert same_grid(grid(), moved(0.05))
    assert not same_grid(grid(), moved(0.5))
    assert not same_grid(grid(), grid(NORTH_UP @ Affine.scale(1.1)))
    assert not same_grid(grid(), grid(crs="EPSG:32632"))
    assert not same_grid(grid(), grid(width=8))
    assert same_grid(grid(), grid(Affine.identity(), None)), "a PNG beside a GeoTIFF"
    assert same_grid(grid(), grid(crs=rasterio.CRS.from_epsg(32631).to_wkt())), "one CRS in two spellings"


def refusal(reference: Georeference, other: Georeference) -> str:
    with pytest.raises(InputError) as caught:
        require_same_grid(
            reference,
            other,
            reference_path=Path("sar.tif"),
            other_path=Path("my images/optical.tif"),
            resampling="bilinear",
        )
    return str(caught.value)


def test_the_offered_gdalwarp_command_describes_exactly_the_other_grid() -> None:
    message = refusal(grid(), grid(NORTH_UP @ Affine.scale(2), "EPSG:32632"))
    words = shlex.split(message[message.index("gdalwarp") :])
    left, bottom, right, top = (float(words[words.index("-te") + i]) for i in range(1, 5))
    width, height = (int(words[words.index("-ts") + i]) for i in (1, 2))
    pixel = Affine((right - left) / width, 0, left, 0, (bottom - top) / height, top)
    assert same_grid(grid(pixel, words[words.index("-t_srs") + 1], height, width), grid())
    assert pixel.almost_equals(NORTH_UP)
    assert words[words.index("-r") + 1] == "bilinear"
    assert words[-2:] == ["my images/optical.tif", "my images/optical_aligned.tif"]
    assert "EPSG:32632" in message


def test_a_rotated_reference_is_warped_onto_the_north_up_file() -> None:
    message = refusal(grid(ROTATED), grid())
    assert re.search(r"gdalwarp .* sar\.tif sar_aligned\.tif$", message)
    both = refusal(grid(ROTATED), grid(ROTATED @ Affine.translation(3, 3)))
    assert both.count("gdalwarp") == 2


def test_sizes_without_georeference_are_brought_together_by_size_alone() -> None:
    message = refusal(grid(Affine.identity(), None), grid(Affine.identity(), None, height=24, width=18))
    assert "gdal_translate -outsize 9 12 -r bilinear" in message
