"""`predict` on real SpaceNet 6 radar: a 4.5 m scene with NaN nodata, and 2.5 m chips with a rotated geotransform.

    python -m benchmarks.realism.real_scene --data /path/to/sn6_native --output runs/real-scene

There are no labels and the model is trained on simulated radar, so nothing is said about accuracy. What is checked: the
outputs open in rasterio and geopandas, lie on the scene, and hold no footprint where the scene holds no data. Complex
chips become 10 log10 |z|^2; each band gets a gain that gives it the simulator's mean, as they are not calibrated.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import rasterio.features
from benchmarks.limits import as_command, existing
from rasterio.transform import array_bounds
from shapely.geometry import Polygon, box

from overcast.bundle.bundle import load_bundle
from overcast.config import RunConfig, train
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.panels import Captioned, composite, contact_sheet, overlay_outlines
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import Polarisation, SarOptions, SimulationOptions

BANDS: tuple[Polarisation, ...] = ("HH", "HV", "VH", "VV")
CHIP_PX, STEPS, SEED = 128, 30, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=existing, required=True, help="folder with sar_masked.tif and sar_{hh,hv,vh,vv}.tif"
    )
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    print(f"{describe_machine()}; {date.today()}; seed {SEED}")
    scenes = {4.5: "masked", 2.5: "rotated"}
    for gsd_m, name in scenes.items():
        folder = arguments.output / name
        folder.mkdir(parents=True, exist_ok=True)
        model = train_on_simulation(folder, gsd_m)
        scene = folder / "scene.tif"
        write_scene(arguments.data, name, model, scene)
        map_and_check(scene, model, gsd_m)


def train_on_simulation(folder: Path, gsd_m: float) -> Path:
    """A small CMH-CL model for this pixel size; returns the bundle."""
    place_m = CHIP_PX * gsd_m * 2
    sar = SarOptions(looks=1, band_offset_db=dict.fromkeys(BANDS, 0.0))
    options = SimulationOptions(seed=SEED, places=6, place_m=place_m, chip_px=CHIP_PX, gsd_m=gsd_m, sar=sar, workers=2)
    simulate_dataset(folder / "city", options)
    settings = {
        "data": {"name": "folder", "root": folder / "city", "split": {"by": "places"}},
        "network": {"preset": "tiny"},
        "training": {"steps": STEPS, "round_steps": STEPS, "batch_size": 8, "crop": CHIP_PX, "seed": SEED},
    }
    return train(RunConfig.model_validate(settings), folder / "run").deployable


def write_scene(data: Path, name: str, model: Path, target: Path) -> None:
    """The real scene in dB, each band at the mean that the model was trained on."""
    if name == "masked":
        with rasterio.open(data / "sar_masked.tif") as dataset:
            values, profile = dataset.read(), dataset.profile
    else:
        bands = []
        for band in BANDS:
            with rasterio.open(data / f"sar_{band.lower()}.tif") as dataset:
                bands.append(10 * np.log10(np.maximum(np.abs(dataset.read(1)) ** 2, 1e-12)))
                profile = dataset.profile
        values = np.stack(bands).astype(np.float32)
    wanted = np.array(load_bundle(model).info.statistics.sar.mean, np.float32)[:, None, None]
    values += wanted - np.nanmean(values, axis=(1, 2), keepdims=True)
    keep = {key: profile[key] for key in ("driver", "width", "height", "crs", "transform")}
    with rasterio.open(target, "w", **keep, count=len(BANDS), dtype="float32", nodata=np.nan) as copy:
        copy.write(values)


def map_and_check(scene: Path, model: Path, gsd_m: float) -> None:
    sensor = SensorRadiometry(bands=BANDS, unit=Unit.DECIBEL, gsd_m=gsd_m)
    polygons, raster = scene.with_name("footprints.gpkg"), scene.with_name("probability.tif")
    bundle, options = load_bundle(model), PredictOptions(overwrite=True)
    summary = predict_file([scene], bundle, sensor=sensor, footprints=polygons, probability=raster, options=options)
    found = geopandas.read_file(polygons)
    with rasterio.open(scene) as dataset, rasterio.open(raster) as written:
        values, valid = dataset.read(), np.isfinite(dataset.read()).all(axis=0)
        transform, shape, crs = dataset.transform, dataset.shape, dataset.crs
        same_grid = written.transform.almost_equals(transform) and written.shape == shape
        nodata_kept = not (written.dataset_mask() > 0)[~valid].any()
        probability = written.read(1)
    corners = [transform @ corner for corner in ((0, 0), (shape[1], 0), shape[::-1], (0, shape[0]))]
    frame = Polygon(corners) if transform.b or transform.d else box(*array_bounds(*shape, transform))
    inside = bool(found.within(frame.buffer(0.01)).all())
    burnt = rasterio.features.rasterize(found.geometry, shape, transform=transform) if len(found) else np.zeros(shape)
    under_nodata = int((burnt.astype(bool) & ~valid).sum())
    print(
        f"{scene.parent.name}: {shape[1]} x {shape[0]} px of {gsd_m} m, {np.mean(~valid):.1%} nodata, "
        f"rotated geotransform {bool(transform.b or transform.d)}: {len(found)} footprints in "
        f"{summary.elapsed_s:.1f} s; "
        f"same grid {same_grid}, same CRS {found.crs == crs}, valid geometries {bool(found.is_valid.all())}, "
        f"all inside the scene {inside}, footprint pixels without data {under_nodata}, "
        f"probability is nodata there {nodata_kept}"
    )
    picture = overlay_outlines(composite(values, valid, (0, 1, 3)), burnt.astype(bool))
    sheet = [[Captioned(composite(values, valid, (0, 1, 3)), "HH, HV, VV"), Captioned(picture, "footprints")]]
    scene.with_name("picture.png").write_bytes(contact_sheet(sheet))
    assert probability.shape == shape
    assert same_grid
    assert nodata_kept
    assert inside
    assert under_nodata == 0


if __name__ == "__main__":
    as_command(main)
