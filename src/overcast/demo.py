"""The demo: a town as scenes, footprints on a third of it, two small trainings, and maps from SAR alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import typer
import yaml
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rich.console import Console

from overcast.arithmetic import AUTO, Precision
from overcast.batch import IGNORE_LABEL
from overcast.bundle import BUNDLED, load_bundle
from overcast.choices import SimulationPreset
from overcast.compare import Comparison, Request, compare_runs
from overcast.config import RunConfig, train
from overcast.data.files import open_grid, open_raster
from overcast.data.georeference import Georeference
from overcast.data.vectors import read_shapes
from overcast.evaluation.panels import Captioned, SheetStyle, composite, contact_sheet, draw_rings
from overcast.evaluation.pixel import PixelCounts, count_pixels
from overcast.inference.cog import ProbabilitySource
from overcast.inference.declare import scene_radiometry
from overcast.inference.polygons import PolygonOptions
from overcast.inference.predict import PredictOptions, predict_file
from overcast.inference.scene import SceneOptions
from overcast.lifesigns import shown
from overcast.simulator.as_scenes import LABELLED_SHARE, simulate_scenes
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions, preset
from overcast.simulator.writing import write_footprints

METHODS: Mapping[str, dict[str, Any]] = {
    "cmhcl": {"name": "cmhcl", "schedule": "teacher_first", "teacher_share": 0.4},
    "sar": {"name": "sar"},
}
"""`cmhcl` also learns from the ground without footprints, where its optical teacher speaks; `sar` cannot."""
STEPS, BATCH_SIZE, CROP = 300, 16, 64
SCENE_M = 1024.0
"""Side of each of the two scenes."""
VALIDATION_SHARE = 0.3
"""Southern part of the labelled ground that chooses the best weights."""
PICTURE_PX = 288
"""Side of the part of the town that the picture shows."""
OUTLINE = (255, 214, 10)
"""Colour of outlines: seen on dark and on light ground."""


@dataclass(frozen=True)
class DemoFiles:
    """What the demo leaves behind."""

    root: Path

    @property
    def simulated(self) -> Path:
        """Radar scenes, orthophotos, footprints, and the truth, which no training reads."""
        return self.root / "simulated"

    @property
    def description(self) -> Path:
        """Data set of the two trainings: the town, and elsewhere for test."""
        return self.root / "town.yaml"

    def sar(self, place: str) -> Path:
        """Radar scene of a place."""
        return self.simulated / "sar" / f"{place}.tif"

    def truth(self, place: str) -> Path:
        """Every footprint of a place."""
        return self.simulated / "truth" / f"{place}.gpkg"

    def run(self, method: str) -> Path:
        """Run folder of a method."""
        return self.root / "runs" / method

    def footprints(self, method: str) -> Path:
        """Footprints of the town as a method maps it."""
        return self.root / "maps" / f"{method}.gpkg"

    def probability(self, method: str) -> Path:
        """Probability behind the footprints."""
        return self.root / "maps" / f"{method}.tif"

    @property
    def picture(self) -> Path:
        """SAR, truth and both maps side by side."""
        return self.root / "scene.png"


TOWN, ELSEWHERE = "scene0000", "scene0001"
"""The scene that is trained on and mapped, and the one that no model saw."""
INSTALLED = "installed"


def demo_options(seed: int) -> SimulationOptions:
    """Two calibrated scenes of a dense town at 1 m, four looks."""
    city = CityOptions(built_share=0.9, trees=0.5, cars=0.5)
    sar = SarOptions(looks=4, wedge_share=0.0, gain_drift_db=1.0, cross_drift_db=0.5)
    scenes = {"seed": seed, "places": 0, "scenes": 2, "scene_m": SCENE_M, "workers": os.cpu_count() or 1}
    return preset(SimulationPreset.DEMO).model_copy(update={**scenes, "city": city, "sar": sar})


def write_data(files: DemoFiles) -> None:
    """Describe the data set: footprints on a third of the town, a part of that for validation, elsewhere for test."""
    content = yaml.safe_load((files.simulated / "town.yaml").read_text(encoding="utf-8"))
    content["name"] = "demo town"
    content["places"] = {
        TOWN: {
            "sar": [f"simulated/sar/{TOWN}.tif"],
            "optical": [f"simulated/ortho/{TOWN}.tif"],
            "footprints": f"simulated/footprints/{TOWN}.gpkg",
            "labelled_area": "simulated/footprints/checked.gpkg",
        },
        ELSEWHERE: {
            "sar": [f"simulated/sar/{ELSEWHERE}.tif"],
            "optical": [f"simulated/ortho/{ELSEWHERE}.tif"],
            "footprints": f"simulated/truth/{ELSEWHERE}.gpkg",
        },
    }
    grid, test = open_grid(files.sar(TOWN)), open_grid(files.sar(ELSEWHERE))
    left, bottom, right, top = labelled_area(grid).bounds
    _write_area(files.root / "test.gpkg", shapely.box(*test.extent), grid)
    part = shapely.box(left, bottom, right, bottom + VALIDATION_SHARE * (top - bottom))
    _write_area(files.root / "validation.gpkg", part, grid)
    files.description.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def labelled_area(grid: Georeference) -> shapely.Polygon:
    """Ground of a scene with footprints."""
    left, bottom, right, top = grid.extent
    return shapely.box(left, bottom, left + LABELLED_SHARE * (right - left), top)


def _write_area(path: Path, area: shapely.Geometry, grid: Georeference) -> None:
    write_footprints(path, geopandas.GeoDataFrame(geometry=[area], crs=grid.crs))


def demo_config(files: DemoFiles, method: str, seed: int) -> RunConfig:
    """Equal budget, network and data for each method."""
    split = {"by": "polygons", "test": files.root / "test.gpkg", "validation": files.root / "validation.gpkg"}
    settings: dict[str, Any] = {
        "data": {"name": "scenes", "root": files.description, "tile_px": 128, "split": split},
        "network": {"preset": "tiny"},
        "method": METHODS[method],
        "training": {
            "steps": STEPS,
            "round_steps": STEPS // 3,
            "batch_size": BATCH_SIZE,
            "crop": CROP,
            "optimiser": {"learning_rate": 2e-3},
            "seed": seed,
        },
    }
    return RunConfig.model_validate(settings)


def run_demo(output: Path, seed: int = 0) -> DemoFiles:
    """Simulate, train with and without the ground that has no footprints, evaluate elsewhere, map the whole town.

    Each stage that is complete is left as it is, so that an interrupted demo goes on where it stopped.
    """
    files, console = DemoFiles(output), Console(stderr=True, markup=False)
    console.print("1/4 simulating two radar scenes, orthophotos, and footprints on a third", highlight=False)
    with shown("simulating", "scenes", console) as update:
        simulate_scenes(files.simulated, demo_options(seed), update)
    write_data(files)
    console.print(f"2/4 training {' and '.join(METHODS)} at the same budget", highlight=False)
    for method in METHODS:
        train(demo_config(files, method, seed), files.run(method), console=console)
    console.print("3/4 evaluating on a scene that no model saw, with SAR alone", highlight=False)
    request = Request(title="Overcast demo: buildings from SAR alone", command=f"overcast demo --output {output}")
    with shown("evaluating", "chips", console) as update:
        comparison = compare_runs(
            [files.run(method) for method in METHODS], output, request, lambda name, done, n: update(done, n, name)
        )
    console.print(
        "4/4 mapping the whole town from SAR alone, with each model and with the installed one", highlight=False
    )
    for name in (*METHODS, INSTALLED):
        map_town(files, name, console)
    files.picture.write_bytes(town_picture(files))
    _print_scores(files, comparison)
    _print_files(files, comparison.report)
    return files


def map_town(files: DemoFiles, name: str, console: Console) -> None:
    """Footprints and probability of the town from its SAR image, by a run or by the installed model."""
    sar, model = files.sar(TOWN), BUNDLED if name == INSTALLED else files.run(name) / "bundle"
    options = PredictOptions(
        scene=SceneOptions(tile=512, precision=Precision.AUTO, device=AUTO),
        polygons=PolygonOptions(min_area_m2=20.0),
        overwrite=True,
    )
    files.footprints(name).parent.mkdir(exist_ok=True)
    with shown("mapping", "km²", console) as update:
        predict_file(
            [sar],
            load_bundle(model),
            sensor=scene_radiometry([sar]),
            footprints=files.footprints(name),
            probability=files.probability(name),
            options=options,
            progress=lambda state: update(state.done, state.total, state.stage.value),
        )


def unlabelled_counts(files: DemoFiles, name: str) -> PixelCounts:
    """Pixels by prediction and truth on the ground of the town that had no footprints in training."""
    with ProbabilitySource.open(files.probability(name)) as source:
        grid = source.georeference
        pixels = source.read(grid.whole)
    outlines, shape = read_shapes(files.truth(TOWN)).geometry, (grid.height, grid.width)
    truth = rasterize(outlines, shape, transform=grid.transform, dtype=np.uint8)
    known = rasterize([labelled_area(grid)], shape, transform=grid.transform, dtype=np.uint8)
    label = np.where(pixels.valid & (known == 0), truth, IGNORE_LABEL)
    return count_pixels(pixels.values[0], label, PolygonOptions().threshold)


def town_picture(files: DemoFiles) -> bytes:
    """PNG of ground without footprints in training: SAR, truth, and the maps of both models on the SAR image."""
    sar, valid = _read(files.sar(TOWN))
    grid = open_grid(files.sar(TOWN))
    first = int(sar.shape[2] * LABELLED_SHARE) + 1
    outlines = read_shapes(files.truth(TOWN)).geometry
    truth = rasterize(outlines, sar.shape[1:], transform=grid.transform, dtype=np.uint8)
    top, left = _most_built((truth[:, first:] == 1) & valid[:, first:], PICTURE_PX)
    part = (slice(top, top + PICTURE_PX), slice(first + left, first + left + PICTURE_PX))
    radar = composite(sar[:, *part], valid[part], (0, 1, 3))
    to_part = Affine.translation(-first - left, -top) * ~grid.transform
    drawn = {name: draw_rings(radar, _rings(files.footprints(name), to_part), OUTLINE) for name in METHODS}
    exact = draw_rings(radar, _rings(files.truth(TOWN), to_part), OUTLINE)
    return contact_sheet(
        [
            [Captioned(radar, "SAR: all that a model sees here"), Captioned(exact, "truth")],
            [
                Captioned(drawn["sar"], "trained on the labelled third alone"),
                Captioned(drawn["cmhcl"], "and, with an optical teacher, on the rest"),
            ],
        ],
        SheetStyle(tile_px=2 * PICTURE_PX, text_px=22),
    )


def _rings(path: Path, to_pixels: Affine) -> Iterator[NDArray[np.float64]]:
    """Outlines and holes of polygons in columns and rows of a picture."""
    layer = read_shapes(path)
    for polygon in layer.geometry.affine_transform(to_pixels.to_shapely()).explode():
        for ring in (polygon.exterior, *polygon.interiors):
            yield np.asarray(ring.coords, np.float64)[:, :2]


def _read(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with open_raster(path) as dataset:
        return dataset.read(), dataset.dataset_mask() > 0


def _most_built(mask: NDArray[np.bool_], side: int) -> tuple[int, int]:
    """Upper left corner of the square of `side` pixels with the most footprint."""
    step = max(1, side // 4)
    sums = np.pad(mask, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)

    def inside(row: int, col: int) -> int:
        end_row, end_col = min(row + side, mask.shape[0]), min(col + side, mask.shape[1])
        return int(sums[end_row, end_col] - sums[row, end_col] - sums[end_row, col] + sums[row, col])

    rows, cols = (range(0, max(1, length - side + 1), step) for length in mask.shape)
    return max(((row, col) for row in rows for col in cols), key=lambda corner: inside(*corner))


def _print_scores(files: DemoFiles, comparison: Comparison) -> None:
    elsewhere = {result.method: result.evaluation.pixels.iou for result in comparison.results}
    typer.echo("IoU from SAR alone       the town, where it had no footprints   another scene")
    for name in (*METHODS, INSTALLED):
        beside = f"{elsewhere[name]:.3f}" if name in elsewhere else ""
        typer.echo(f"{name:<24} {unlabelled_counts(files, name).iou:<38.3f} {beside}")


def _print_files(files: DemoFiles, report: Path) -> None:
    typer.echo(
        f"\nreport       {report}\n"
        f"footprints   {files.footprints('cmhcl')}\n"
        f"probability  {files.probability('cmhcl')}\n"
        f"picture      {files.picture}\n"
        f"your model   {files.run('cmhcl') / 'bundle'}"
    )
