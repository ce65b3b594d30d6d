"""The demo: a town as scenes, footprints on a third of it, two small trainings, and maps from SAR alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import typer
import yaml
from rich.console import Console

from overcast.arithmetic import AUTO, Precision
from overcast.atomic import write_atomic
from overcast.batch import IGNORE_LABEL
from overcast.bundle.bundle import BUNDLED, load_bundle
from overcast.choices import SimulationPreset
from overcast.config import RunConfig, train
from overcast.experiments.compare import Comparison, Request, compare_runs
from overcast.experiments.demo_picture import drawn, side_by_side
from overcast.lifesigns import shown
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.outputs.cog import ProbabilitySource
from overcast.polygons.footprints import PolygonOptions
from overcast.raster.files import open_grid
from overcast.raster.georeference import Georeference
from overcast.raster.vectors import read_shapes
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.scene import SceneOptions
from overcast.simulator.dataset.as_scenes import LABELLED_SHARE, simulate_scenes
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.dataset.writing import write_footprints
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions, preset

METHODS: Mapping[str, dict[str, Any]] = {
    "cmhcl": {"name": "cmhcl", "schedule": "teacher_first", "teacher_share": 0.4},
    "sar": {"name": "sar"},
}
"""`cmhcl` also learns from the ground without footprints, where its optical teacher speaks; `sar` cannot."""
TITLES = {
    "sar": "trained on the labelled third alone",
    "cmhcl": "and, with an optical teacher, on the rest",
}
"""What the picture says of each map."""
STEPS, BATCH_SIZE, CROP = 600, 16, 64
SCENE_M = 1536.0
"""Side of each of the two scenes."""
VALIDATION_SHARE = 0.3
"""Southern part of the labelled ground that chooses the best weights."""


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
    def scene(self) -> Path:
        """A large scene that nothing was trained on: SAR, and optical image and truth that the model never sees."""
        return self.root / "city" / "scenes" / "scene0000"

    @property
    def picture(self) -> Path:
        """SAR, truth and both maps side by side."""
        return self.root / "scene.png"


TOWN, ELSEWHERE = "scene0000", "scene0001"
"""The scene that is trained on and mapped, and the one that no model saw."""
LARGE_M = 2048.0
"""Side of the scene that the installed model maps: 4.2 km2."""


def demo_options(seed: int) -> SimulationOptions:
    """Two calibrated scenes of a dense town at 1 m, four looks."""
    sar = SarOptions(looks=4, wedge_share=0.0, gain_drift_db=1.0, cross_drift_db=0.5)
    return large_options(seed).model_copy(update={"scenes": 2, "scene_m": SCENE_M, "sar": sar})


def large_options(seed: int) -> SimulationOptions:
    """One large scene as a strip images it: with drifting gains and a wedge without data now and then."""
    city, sar = CityOptions(built_share=0.9, trees=0.5, cars=0.5), SarOptions(looks=4, wedge_share=0.03)
    scenes = {"seed": seed, "places": 0, "scenes": 1, "scene_m": LARGE_M, "workers": os.cpu_count() or 1}
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
    write_atomic(files.description, yaml.safe_dump(content, sort_keys=False))


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
    console.print("4/4 mapping the town with both models, and a large scene with the installed one", highlight=False)
    for method in METHODS:
        map_scene(files.sar(TOWN), files.run(method) / "bundle", files.footprints(method), console)
    with shown("simulating", "scenes", console) as update:
        simulate_dataset(files.root / "city", large_options(seed), update)
    map_scene(files.scene / "sar.tif", BUNDLED, files.root / "footprints.gpkg", console)
    found = {TITLES[method]: files.footprints(method) for method in ("sar", "cmhcl")}
    picture = side_by_side(files.sar(TOWN), files.truth(TOWN), found, labelled_area(open_grid(files.sar(TOWN))))
    write_atomic(files.picture, picture)
    _print_scores(files, comparison)
    _print_files(files, comparison.report)
    return files


def map_scene(sar: Path, model: Path, footprints: Path, console: Console) -> None:
    """Footprints of a scene from its SAR image, and the probability behind them in a .tif beside them."""
    options = PredictOptions(
        scene=SceneOptions(tile=512, precision=Precision.AUTO, device=AUTO),
        polygons=PolygonOptions(min_area_m2=20.0),
        overwrite=True,
    )
    footprints.parent.mkdir(exist_ok=True)
    with shown("mapping", "km²", console) as update:
        predict_file(
            [sar],
            load_bundle(model),
            sensor=scene_radiometry([sar]),
            footprints=footprints,
            probability=footprints.with_suffix(".tif"),
            options=options,
            progress=lambda state: update(state.done, state.total, state.stage.value),
        )


def counts(probability: Path, truth: Path, *, known: Sequence[shapely.Polygon] = ()) -> PixelCounts:
    """Pixels by prediction and truth where the radar has data, outside of the ground that was `known` in training."""
    with ProbabilitySource.open(probability) as source:
        grid = source.georeference
        pixels = source.read(grid.whole)
    label = drawn(read_shapes(truth).geometry, grid)
    counted = pixels.valid if not known else pixels.valid & (drawn(known, grid) == 0)
    return count_pixels(pixels.values[0], np.where(counted, label, IGNORE_LABEL), PolygonOptions().threshold)


def _print_scores(files: DemoFiles, comparison: Comparison) -> None:
    known = [labelled_area(open_grid(files.sar(TOWN)))]
    typer.echo("IoU from SAR alone    the town, where it had no footprints    another scene")
    for result in comparison.results:
        town = counts(files.probability(result.method), files.truth(TOWN), known=known).iou
        typer.echo(f"{result.method:<21} {town:<39.3f} {result.evaluation.pixels.iou:.3f}")
    large = counts(files.root / "footprints.tif", files.scene / "footprints.gpkg")
    typer.echo(f"installed model on the large scene: {large.iou:.3f}")


def _print_files(files: DemoFiles, report: Path) -> None:
    typer.echo(
        f"\nreport        {report}\n"
        f"the town      {files.footprints('cmhcl')}, {files.probability('cmhcl')}\n"
        f"large scene   {files.root / 'footprints.gpkg'}\n"
        f"picture       {files.picture}\n"
        f"your model    {files.run('cmhcl') / 'bundle'}"
    )
