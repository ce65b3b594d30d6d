"""Products of a few pixels in the layouts that providers publish; each names its public source."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
from affine import Affine
from prepare_miniatures import UTM31, write
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

SAFE = "S1A_IW_GRDH_1SDV_20240101T054321_20240101T054346_051912_0645A1_ABCD.SAFE"
HYP3 = "S1A_IW_20240101T054321_DVP_RTC10_G_gpuned_1A2B"
OPERA = "OPERA_L2_RTC-S1_T069-147169-IW3_20240101T000000Z_20240102T000000Z_S1A_30_v1.0"
TABLE_LINES, TABLE_PIXELS = (-10, 30, 200), (0, 50, 200)


def seen(row: float, col: float) -> tuple[float, float]:
    """Longitude and latitude of a pixel of the radar image: slanted, and slightly curved."""
    return 3.5 + 1.4e-4 * col - 2e-5 * row + 3e-9 * col**2, 50.5 - 9e-5 * row - 2e-5 * col + 1e-9 * row * col


def control_points(height: int, width: int, step: int = 15, height_m: float = 0.0) -> list[GroundControlPoint]:
    """A lattice of points, as Sentinel-1 annotates them."""
    return [
        GroundControlPoint(row, col, *seen(row, col), height_m * (row + col) / (height + width))
        for row in range(0, height + 1, step)
        for col in range(0, width + 1, step)
    ]


def divisor(row: float, col: float) -> float:
    """A of the table: bilinear in row and column, so that interpolation is exact within lines of the table."""
    return 300.0 + 0.5 * row + 1.0 * col


def write_safe(folder: Path, kind: str = "grd", height_m: float = 0.0) -> Path:
    """Sentinel-1: S1-RS-MDA-52-7441; uint16, control points in degrees, 0 outside of the swath."""
    root = folder / SAFE
    (root / "measurement").mkdir(parents=True)
    (root / "annotation" / "calibration").mkdir(parents=True)
    (root / "manifest.safe").write_text("<xfdu/>")
    rng = np.random.default_rng(3)
    for number, pol in enumerate(("vv", "vh"), 1):
        stem = f"s1a-iw-{kind}-{pol}-20240101t054321-20240101t054346-051912-0645a1-00{number}"
        values = rng.integers(80, 120, (1, 90, 120)).astype("uint16") * number
        values[:, :, :6] = 0
        points = control_points(90, 120, height_m=height_m)
        write(root / "measurement" / f"{stem}.tiff", values, gcps=points, crs="EPSG:4326", transform=None)
        (root / "annotation" / f"{stem}.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?><product><adsHeader><missionId>S1A</missionId></adsHeader>'
            "<generalAnnotation><productInformation><pass>Descending</pass><platformHeading>-168.5</platformHeading>"
            "</productInformation></generalAnnotation></product>"
        )
        vectors = "".join(
            f"<calibrationVector><line>{row}</line><pixel>{' '.join(map(str, TABLE_PIXELS))}</pixel><sigmaNought>"
            f"{' '.join(str(divisor(row, col)) for col in TABLE_PIXELS)}</sigmaNought></calibrationVector>"
            for row in TABLE_LINES
        )
        (root / "annotation" / "calibration" / f"calibration-{stem}.xml").write_text(
            f"<calibration><calibrationVectorList>{vectors}</calibrationVectorList></calibration>"
        )
    return root


def power(seed: int = 0, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """(H, W) float32 speckle around 0.1."""
    return np.random.default_rng(seed).gamma(4, 0.025, shape).astype("float32")


def write_hyp3(folder: Path, scale: str = "p") -> Path:
    """ASF HyP3: product guide of RTC; radar images beside a model of the ground, angles, a picture and a log."""
    name = HYP3.replace("gpuned", f"g{scale}uned")
    root = folder / name
    root.mkdir(parents=True)
    grid: dict[str, Any] = {"transform": Affine(10, 0, 593000, 0, -10, 5750000), "crs": UTM31}
    for seed, tail in enumerate(("VV", "VH", "dem", "inc_map", "ls_map", "area", "rgb")):
        linear = power(seed)
        values = {"a": np.sqrt(linear), "d": 10 * np.log10(linear), "p": linear}[scale]
        write(root / f"{name}_{tail}.tif", values[None], **grid)
    (root / f"{name}.README.md.txt").write_text("readme")
    (root / f"{name}_VV.png").write_bytes(b"")
    (root / f"{name}_VV.tif.xml").write_text("<metadata><flightDirection>ASCENDING</flightDirection></metadata>")
    return root


def write_opera(folder: Path) -> Path:
    """OPERA: product specification D-108758; a burst on its UTM grid, a mask and metadata."""
    root = folder / OPERA
    root.mkdir(parents=True)
    grid: dict[str, Any] = {"transform": Affine(30, 0, 593000, 0, -30, 5750000), "crs": UTM31}
    tags = {"ORBIT_PASS_DIRECTION": "ascending", "LOOK_DIRECTION": "right", "PLATFORM": "Sentinel-1A"}
    for seed, pol in enumerate(("VV", "VH")):
        write(root / f"{OPERA}_{pol}.tif", power(seed)[None], tags=tags, nodata=math.nan, **grid)
    write(root / f"{OPERA}_mask.tif", np.zeros((1, 60, 70), "uint8"), **grid)
    (root / f"{OPERA}.iso.xml").write_text("<iso/>")
    return root


def write_opera_h5(path: Path, group: str = "data", names: tuple[str, ...] = ("VV", "VH")) -> Path:
    """The same as HDF5, as github.com/opera-adt/RTC writes it; NISAR's covariances are laid out alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for seed, name in enumerate(names):
            file.create_dataset(f"{group}/{name}", data=power(seed), chunks=(32, 32), compression="gzip")
        file[f"{group}/xCoordinates"] = 593000 + 30 * (np.arange(70) + 0.5)
        file[f"{group}/yCoordinates"] = 5750000 - 30 * (np.arange(60) + 0.5)
        file[f"{group}/projection"] = np.int32(32631)
        file[f"{group}/numberOfLooks"] = np.ones((60, 70), "float32")
        file["identification/orbitPassDirection"] = "ascending"
        file["identification/lookDirection"] = "right"
        file["identification/platform"] = "Sentinel-1A"
    return path


HEADER = """ENVI
description = {{{name} - Unit: intensity}}
samples = 70
lines = 60
bands = 1
header offset = 0
file type = ENVI Standard
data type = 4
interleave = bsq
byte order = 1
map info = {{UTM, 1.0, 1.0, 593000.0, 5750000.0, 10.0, 10.0, 31, North, WGS-84, units=Meters}}
band names = {{ {name} }}
"""
SNAP_BANDS = ("Sigma0_VV", "Sigma0_VH")
SNAP_SAYS = {"PASS": "DESCENDING", "antenna_pointing": "right", "MISSION": "SENTINEL-1A", "centre_heading": "99999.0"}


def write_dimap(folder: Path, encoding: str = "ISO-8859-1", bands: tuple[str, ...] = SNAP_BANDS) -> Path:
    """SNAP: BEAM-DIMAP, big-endian ENVI images, 0 without data, metadata by attributes in the declared encoding."""
    path, data = folder / "Zürich_TC.dim", folder / "Zürich_TC.data"
    data.mkdir(parents=True)
    described = ""
    for seed, name in enumerate(bands):
        values = power(seed)
        values[:, :5] = 0
        (data / f"{name}.img").write_bytes(values.astype(">f4").tobytes())
        (data / f"{name}.hdr").write_text(HEADER.format(name=name))
        described += (
            f"<Spectral_Band_Info><BAND_INDEX>{seed}</BAND_INDEX><BAND_NAME>{name}</BAND_NAME><PHYSICAL_UNIT>intensity"
            "</PHYSICAL_UNIT><NO_DATA_VALUE_USED>true</NO_DATA_VALUE_USED><NO_DATA_VALUE>0.0</NO_DATA_VALUE>"
            "</Spectral_Band_Info>"
        )
    metadata = "".join(f'<MDATTR name="{name}" type="ascii">{text}</MDATTR>' for name, text in SNAP_SAYS.items())
    path.write_bytes(
        f'<?xml version="1.0" encoding="{encoding}"?><Dimap_Document name="Zürich_TC.dim"><Image_Interpretation>'
        f'{described}</Image_Interpretation><Dataset_Sources><MDElem name="Abstracted_Metadata">{metadata}</MDElem>'
        "</Dataset_Sources></Dimap_Document>".encode(encoding)
    )
    return path


def write_capella(folder: Path) -> Path:
    """Capella GEO: products format specification; digital numbers, `scale_factor` and positions in JSON, a preview."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "CAPELLA_C02_SM_GEO_HH_20201209213329_20201209213332"
    grid: dict[str, Any] = {"transform": Affine(1, 0, 593000, 0, -1, 5750000), "crs": UTM31}
    values = np.random.default_rng(0).integers(50, 900, (1, 60, 70)).astype("uint16")
    write(folder / f"{stem}.tif", values, nodata=0, **grid)
    write(folder / f"{stem}_preview.tif", values.astype("uint8"), **grid)
    content = {"collect": {"platform": "capella-2", "image": {"scale_factor": 0.002}, "radar": {"pointing": "right"}}}
    (folder / f"{stem}_extended.json").write_text(json.dumps(content))
    return folder


def write_umbra(folder: Path) -> Path:
    """Umbra: GEC beside a colour sub-aperture image (CSI) and METADATA.json, which alone knows the polarisation."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "2024-05-06-07-08-09_UMBRA-05"
    grid: dict[str, Any] = {"transform": Affine(1, 0, 593000, 0, -1, 5750000), "crs": UTM31}
    write(folder / f"{stem}_GEC.tif", (1000 * power(0)[None]).astype("uint16") + 1, **grid)
    write(folder / f"{stem}_CSI.tif", np.full((3, 60, 70), 9, "uint8"), **grid)
    content = {"umbraSatelliteName": "UMBRA_05", "collects": [{"polarizations": ["VV"]}]}
    (folder / f"{stem}_METADATA.json").write_text(json.dumps(content))
    return folder


def write_iceye(folder: Path) -> Path:
    """ICEYE GRD: control points, and XML with calibration factor, polarisation, side and heading."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "ICEYE_X2_GRD_SM_12345_20240101T000000"
    values = np.random.default_rng(0).integers(50, 900, (1, 90, 120)).astype("uint16")
    points = control_points(90, 120)
    write(folder / f"{stem}.tif", values, gcps=points, crs="EPSG:4326", transform=None, nodata=0)
    (folder / f"{stem}.xml").write_text(
        "<?xml version='1.0' encoding='UTF-8'?><Grd_Metadata><satellite_name>ICEYE-X2</satellite_name><polarization>VV"
        "</polarization><look_side>LEFT</look_side><heading>190.0</heading><calibration_factor>4e-06</calibration_factor>"
        "</Grd_Metadata>"
    )
    return folder / f"{stem}.tif"


def write_tiles(folder: Path, values: np.ndarray, size: int, **more: Any) -> list[Path]:
    """Earth Engine exports: `name-<first row>-<first column>.tif`, each a part of (C, H, W) values."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row in range(0, values.shape[1], size):
        for col in range(0, values.shape[2], size):
            part = values[:, row : row + size, col : col + size]
            grid = Affine(1, 0, 593000 + col, 0, -1, 5750000 - row)
            paths.append(write(folder / f"town-{row:010d}-{col:010d}.tif", part, transform=grid, **more))
    return paths


def place_of(path: Path, row: int, col: int) -> tuple[float, float]:
    """Longitude and latitude of the centre of a pixel of a written scene."""
    with rasterio.open(path) as dataset:
        x, y = dataset.transform @ (col + 0.5, row + 0.5)
        return Transformer.from_crs(dataset.crs, CRS.from_epsg(4326), always_xy=True).transform(x, y)
