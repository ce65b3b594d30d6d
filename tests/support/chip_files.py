"""Small chips for the tests of reading and sampling."""

from pathlib import Path

import numpy as np
from raster_files import write_tiff

from overcast.batch import Modality
from overcast.data.augment import Augmentation, Geometry
from overcast.data.chips import Chip
from overcast.raster.radiometry import BandStatistics, Radiometry, SensorRadiometry, Statistics, Unit

BOTH = frozenset(Modality)
SAR, OPTICAL = frozenset({Modality.SAR}), frozenset({Modality.OPTICAL})
RADIOMETRY = Radiometry(
    sar=SensorRadiometry(bands=("HH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=0.5),
    optical=SensorRadiometry(bands=("red", "green", "blue"), unit=Unit.DIGITAL_NUMBER, nodata=0, gsd_m=0.5),
)
STATISTICS = Statistics(
    sar=BandStatistics(mean=(20.0, 30.0), std=(5.0, 8.0)),
    optical=BandStatistics(mean=(100.0, 110.0, 120.0), std=(40.0, 41.0, 42.0)),
)
AUGMENT = Augmentation(Geometry.DIHEDRAL)


def make_chip(folder: Path, name: str, height: int = 48, width: int = 40) -> Chip:
    """SAR with a nodata wedge at the top left, optical with a hole at the bottom right, a mask."""
    rng = np.random.default_rng(len(name) + height)
    sar = rng.normal(25, 6, (2, height, width)).astype("float32")
    sar[:, :8, :5] = 0
    optical = rng.integers(1, 255, (3, height, width), np.uint8)
    optical[:, -6:, -7:] = 0
    mask = rng.integers(0, 2, (height, width), np.uint8)
    return Chip(
        key=name,
        place=name,
        sar=tuple(write_tiff(folder / f"{name}_{band}.tif", sar[i]) for i, band in enumerate(("hh", "vv"))),
        optical=(write_tiff(folder / f"{name}_rgb.tif", optical),),
        mask=write_tiff(folder / f"{name}_mask.tif", mask),
    )
