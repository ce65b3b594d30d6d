"""The demo: a simulated city, three small trainings, and a large scene mapped from SAR alone by the installed model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from affine import Affine
from numpy.typing import NDArray
from rich.console import Console

from overcast.arithmetic import AUTO, Precision
from overcast.batch import IGNORE_LABEL
from overcast.bundle import BUNDLED, load_bundle
from overcast.compare import Request, compare_runs
from overcast.config import RunConfig, train
from overcast.data.files import open_raster
from overcast.data.vectors import read_shapes
from overcast.evaluation.panels import Captioned, SheetStyle, composite, contact_sheet, draw_rings, probability_map
from overcast.evaluation.pixel import PixelCounts, count_pixels
from overcast.inference.cog import ProbabilitySource
from overcast.inference.declare import scene_radiometry
from overcast.inference.polygons import PolygonOptions
from overcast.inference.predict import PredictionSummary, PredictOptions, predict_file
from overcast.inference.progress import Report
from overcast.inference.scene import SceneOptions
from overcast.lifesigns import shown
from overcast.simulator.dataset import simulate_dataset
from overcast.simulator.options import CityOptions, Preset, SarOptions, SimulationOptions, preset

METHODS = ("cmhcl", "sar", "sar_twin")
"""The method and its two controls."""
STEPS, BATCH_SIZE = 100, 16
SCENE_M = 2048.0
"""Side of the scene: 4.2 km2."""
PICTURE_PX = 288
"""Side of the part of the scene that the picture shows."""
OUTLINE = (255, 214, 10)
"""Colour of outlines: seen on dark and on light ground."""


@dataclass(frozen=True)
class DemoFiles:
    """What the demo leaves behind."""

    root: Path

    @property
    def city(self) -> Path:
        """The simulated data set."""
        return self.root / "city"

    @property
    def scene(self) -> Path:
        """The held-out scene: SAR, and optical and truth that the model never sees."""
        return self.city / "scenes" / "scene0000"

    @property
    def footprints(self) -> Path:
        """Polygons of the scene."""
        return self.root / "footprints.gpkg"

    @property
    def probability(self) -> Path:
        """Probability of the scene."""
        return self.root / "probability.tif"

    @property
    def picture(self) -> Path:
        """SAR, footprints, probability and truth side by side."""
        return self.root / "scene.png"

    def run(self, method: str) -> Path:
        """Run folder of a method."""
        return self.root / "runs" / method


def demo_city(seed: int) -> SimulationOptions:
    """A dense city at 1 m, four looks: small enough for minutes of training on two cores."""
    base = preset(Preset.DEMO)
    return base.model_copy(
        update={
            "seed": seed,
            "places": 14,
            "scenes": 1,
            "scene_m": SCENE_M,
            "city": CityOptions(built_share=0.9, trees=0.5, cars=0.5),
            "sar": SarOptions(looks=4, wedge_share=0.03),
            "workers": os.cpu_count() or 1,
        }
    )


def demo_config(files: DemoFiles, method: str, seed: int) -> RunConfig:
    """Equal budget, network and data for each method."""
    settings: dict[str, Any] = {
        "data": {"name": "folder", "root": files.city, "split": {"by": "places", "test_share": 0.22, "seed": seed}},
        "network": {"preset": "tiny"},
        "method": {"name": method},
        "training": {
            "steps": STEPS,
            "round_steps": STEPS // 2,
            "batch_size": BATCH_SIZE,
            "crop": 128,
            "optimiser": {"learning_rate": 1e-3},
            "seed": seed,
        },
    }
    return RunConfig.model_validate(settings)


def run_demo(output: Path, seed: int = 0) -> DemoFiles:
    """Simulate, train, evaluate on unseen places with SAR alone, map an unseen scene; prints where the results lie.

    Each stage that is complete is left as it is, so that an interrupted demo goes on where it stopped.
    """
    files, console = DemoFiles(output), Console(stderr=True, markup=False)
    console.print("1/4 simulating a city, optical and SAR, with exact footprints", highlight=False)
    with shown("simulating", "places", console) as update:
        simulate_dataset(files.city, demo_city(seed), update)
    console.print(f"2/4 training {', '.join(METHODS)} at the same budget", highlight=False)
    for method in METHODS:
        train(demo_config(files, method, seed), files.run(method), console=console)
    console.print("3/4 evaluating on places that no model saw, with SAR alone", highlight=False)
    request = Request(title="Overcast demo: buildings from SAR alone", command=f"overcast demo --output {output}")
    with shown("evaluating", "chips", console) as update:
        comparison = compare_runs(
            [files.run(method) for method in METHODS], output, request, lambda name, done, n: update(done, n, name)
        )
    console.print("4/4 mapping an unseen scene of 4.2 km2 from SAR alone with the installed model", highlight=False)
    with shown("mapping", "km²", console) as update:
        summary = map_scene(files, lambda state: update(state.done, state.total, state.stage.value))
    files.picture.write_bytes(scene_picture(files))
    for result in comparison.results:
        interval = result.evaluation.iou_interval()
        spread = f" ({interval.low:.3f} .. {interval.high:.3f} over places)" if interval else ""
        typer.echo(f"{result.method:>9}: IoU {result.evaluation.pixels.iou:.3f}{spread}")
    typer.echo(f"installed model on the scene: IoU {scene_counts(files).iou:.3f}")
    _print_files(files, comparison.report, summary)
    return files


def map_scene(files: DemoFiles, progress: Report | None = None) -> PredictionSummary:
    """Footprints and probability of the scene from its SAR image."""
    sar = files.scene / "sar.tif"
    options = PredictOptions(
        scene=SceneOptions(tile=512, precision=Precision.AUTO, device=AUTO),
        polygons=PolygonOptions(min_area_m2=20.0),
        overwrite=True,
    )
    return predict_file(
        [sar],
        load_bundle(BUNDLED),
        sensor=scene_radiometry([sar]),
        footprints=files.footprints,
        probability=files.probability,
        options=options,
        progress=progress,
    )


def scene_counts(files: DemoFiles) -> PixelCounts:
    """Pixels of the scene by prediction and truth, where the radar has data."""
    with ProbabilitySource.open(files.probability) as source:
        pixels = source.read(source.georeference.whole)
    label = np.where(pixels.valid, _read(files.scene / "mask.tif")[0][0], IGNORE_LABEL)
    return count_pixels(pixels.values[0], label, PolygonOptions().threshold)


def scene_picture(files: DemoFiles) -> bytes:
    """PNG: the SAR image, the footprints that were written, the probability behind them, and the truth.

    The truth is drawn on the optical image, which the model never saw.
    """
    sar, valid = _read(files.scene / "sar.tif")
    optical, seen = _read(files.scene / "optical.tif")
    with ProbabilitySource.open(files.probability) as source:
        pixels, transform = source.read(source.georeference.whole), source.georeference.transform
    top, left = _most_built((_read(files.scene / "mask.tif")[0][0] == 1) & valid, PICTURE_PX)
    part = (slice(top, top + PICTURE_PX), slice(left, left + PICTURE_PX))
    radar = composite(sar[:, *part], valid[part], (0, 1, 3))
    photo = composite(optical[:, *part], seen[part], (0, 1, 2))
    to_part = Affine.translation(-left, -top) * ~transform
    found = draw_rings(radar, _rings(files.footprints, to_part), OUTLINE)
    truth = draw_rings(photo, _rings(files.scene / "footprints.gpkg", to_part), OUTLINE)
    likely = probability_map(pixels.values[0][part], pixels.valid[part])
    return contact_sheet(
        [
            [Captioned(radar, "SAR: all that the model sees"), Captioned(found, "footprints from SAR alone")],
            [Captioned(likely, "probability, 0 dark to 1 yellow"), Captioned(truth, "truth on the optical image")],
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


def _print_files(files: DemoFiles, report: Path, summary: PredictionSummary) -> None:
    typer.echo(
        f"\nreport       {report}\n"
        f"footprints   {files.footprints} ({summary.footprint_count} on {summary.km2:.2f} km2)\n"
        f"probability  {files.probability}\n"
        f"picture      {files.picture}\n"
        f"installed    {BUNDLED}\n"
        f"small model  {files.run(METHODS[0]) / 'bundle'}"
    )
