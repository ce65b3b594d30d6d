"""A scene that changes while it is read is noticed; what other programs write beside it is no change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from overcast.errors import ConfigError, InputError
from overcast.outputs.clock import fixed_now
from overcast.scenes.inputs import input_identities, lasting, require_unchanged


def write(path: Path, value: float = 1) -> Path:
    place = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 593000, 0, -0.5, 5750000)}
    with rasterio.open(path, "w", driver="GTiff", width=20, height=10, count=1, dtype="float32", **place) as dataset:
        dataset.write(np.full((1, 10, 20), value, np.float32))
    return path


def replaced(path: Path) -> None:
    """By a file of the same size and time."""
    status = path.stat()
    write(path.with_name("new"), 2).replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


def touched(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def cut(path: Path) -> None:
    os.truncate(path, 100)


def masked(path: Path) -> None:
    write(path.with_name(f"{path.name}.msk"))


def said_otherwise(path: Path) -> None:
    """A nodata value in a file beside it."""
    metadata = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>1</NoDataValue></PAMRasterBand></PAMDataset>'
    path.with_name(f"{path.name}.aux.xml").write_text(metadata)


CHANGES = [replaced, touched, cut, masked, said_otherwise, Path.unlink]


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_noticed(tmp_path: Path, change: Callable[[Path], None]):
    scene = write(tmp_path / "scene.tif")
    before = input_identities([scene])
    require_unchanged(before, [scene])
    change(scene)
    with pytest.raises(InputError, match=r"changed .*nothing was written"):
        require_unchanged(before, [scene])


@pytest.mark.parametrize("change", [replaced, touched, masked])
def test_change_of_a_source_of_a_virtual_raster_is_noticed(tmp_path: Path, change: Callable[[Path], None]):
    source, scene = write(tmp_path / "source.tif"), tmp_path / "scene.vrt"
    rasterio.shutil.copy(source, scene, driver="VRT")
    before = input_identities([scene])
    require_unchanged(before, [scene])
    change(source)
    with pytest.raises(InputError, match=r"source\.tif.* was changed .*nothing was written"):
        require_unchanged(before, [scene])


def test_statistics_and_overviews_of_a_viewer_are_no_change(tmp_path: Path):
    scene = write(tmp_path / "scene.tif")
    before = input_identities([scene])
    statistics = '<PAMDataset><PAMRasterBand band="1"><Metadata><MDI key="STATISTICS_MEAN">1</MDI></Metadata>'
    (tmp_path / "scene.tif.aux.xml").write_text(f"{statistics}</PAMRasterBand></PAMDataset>")
    write(tmp_path / "scene.tif.ovr")
    require_unchanged(before, [scene])
    assert lasting(input_identities([scene])) == lasting(before)


def test_inode_does_not_last(tmp_path: Path):
    """A scene on a disk that was mounted anew, or put back with its date, is the same request."""
    scene = write(tmp_path / "scene.tif")
    before = input_identities([scene])
    status = scene.stat()
    copy = tmp_path / "copy"
    copy.write_bytes(scene.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.replace(scene)
    assert lasting(input_identities([scene])) == lasting(before)
    with pytest.raises(InputError, match=r"scene\.tif was changed"):
        require_unchanged(before, [scene])


@pytest.mark.parametrize("epoch", ["garbage", "1e9", "-1", " 1", "1.5", "99999999999999999", "9" * 5000, "٣", "1_000"])
def test_time_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, epoch: str):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(
        ConfigError, match=r"^SOURCE_DATE_EPOCH is .*not a number of seconds since 1970; correct it"
    ) as told:
        fixed_now()
    assert len(str(told.value)) < 200


def test_time_is_that_of_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    found = fixed_now()
    assert found is not None
    assert found.isoformat() == "2023-11-14T22:13:20+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert fixed_now() is None
