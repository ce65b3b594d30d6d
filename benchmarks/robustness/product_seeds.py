"""Valid products of a few pixels, to be damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import rasterio
from affine import Affine

VALUES = np.random.default_rng(0).gamma(4, 0.025, (24, 32)).astype("float32")
GRID = Affine(10, 0, 593000, 0, -10, 5750000)
HEADER = """ENVI
description = {Sigma0_VV - Unit: intensity}
samples = 32
lines = 24
bands = 1
header offset = 0
file type = ENVI Standard
data type = 4
interleave = bsq
byte order = 1
map info = {UTM, 1.0, 1.0, 593000.0, 5750000.0, 10.0, 10.0, 31, North, WGS-84, units=Meters}
band names = { Sigma0_VV }
"""
DIM = """<?xml version="1.0" encoding="ISO-8859-1"?><Dimap_Document name="a.dim"><Image_Interpretation>
<Spectral_Band_Info><BAND_NAME>Sigma0_VV</BAND_NAME><PHYSICAL_UNIT>intensity</PHYSICAL_UNIT>
<NO_DATA_VALUE_USED>true</NO_DATA_VALUE_USED><NO_DATA_VALUE>0.0</NO_DATA_VALUE></Spectral_Band_Info>
</Image_Interpretation><MDElem><MDATTR name="PASS">ASCENDING</MDATTR><MDATTR name="antenna_pointing">right</MDATTR>
<MDATTR name="MISSION">SENTINEL-1A</MDATTR></MDElem></Dimap_Document>"""
VECTOR = """<calibrationVector><line>{}</line><pixel>0 10 40</pixel>
<sigmaNought>300 310 340.5</sigmaNought></calibrationVector>"""
TABLE = "".join(map(VECTOR.format, (0, 12, 30)))


def dimap(folder: Path) -> Path:
    """SNAP: the description beside an image and its header."""
    data = folder / "a.data"
    data.mkdir(exist_ok=True)
    (data / "Sigma0_VV.img").write_bytes(VALUES.astype(">f4").tobytes())
    (data / "Sigma0_VV.hdr").write_text(HEADER)
    (folder / "a.dim").write_text(DIM, encoding="latin-1")
    return folder / "a.dim"


def dimap_header(folder: Path) -> Path:
    """The same; the header of the image."""
    return dimap(folder).with_suffix(".data") / "Sigma0_VV.hdr"


def calibration(folder: Path) -> Path:
    """Sentinel-1's table of divisors."""
    path = folder / "calibration.xml"
    path.write_text(f"<calibration><calibrationVectorList>{TABLE}</calibrationVectorList></calibration>")
    return path


def hdf5(folder: Path) -> Path:
    """OPERA's layout."""
    path = folder / "OPERA_L2_RTC-S1_a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data/VV", data=VALUES, chunks=(8, 8), compression="gzip")
        file["data/xCoordinates"] = 593005 + 10.0 * np.arange(32)
        file["data/yCoordinates"] = 5749995 - 10.0 * np.arange(24)
        file["data/projection"] = np.int32(32631)
        file["identification/orbitPassDirection"] = "ascending"
    return path


def archive(folder: Path) -> Path:
    """A product of ASF's HyP3 as it is downloaded."""
    name = "S1A_IW_20240101T054321_DVP_RTC10_G_gpuned_1A2B"
    size = {"count": 1, "height": 24, "width": 32, "dtype": "float32"}
    with rasterio.open(
        folder / f"{name}_VV.tif", "w", driver="GTiff", crs="EPSG:32631", transform=GRID, **size
    ) as file:
        file.write(VALUES, 1)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(folder / f"{name}_VV.tif", f"{name}/{name}_VV.tif")
        packed.writestr(f"{name}/{name}.README.md.txt", "readme")
    return folder / "a.zip"
