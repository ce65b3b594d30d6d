"""Commands on models: demo, train, evaluate, describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.arithmetic import AUTO, capabilities, settled_device
from overcast.choices import EvaluatedPart, ExportPrecision, ImageKind, Separation, Tta
from overcast.cli.console import counting_bar, print_json, print_table
from overcast.cli.groups import with_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overcast.experiments.compare import Comparison, Request
    from overcast.methods.base import Method


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that the demo makes.")] = Path(
        "demo-output"
    ),
    seed: Annotated[int, typer.Option(help="Of the city and of the training.")] = 0,
) -> None:
    """Simulate a city, train CMH-CL and two controls, map an unseen scene from SAR alone. Minutes on two cores.

    If it is interrupted, run the same command again to resume.

    Example: `overcast demo --output demo-output`
    """
    from overcast.experiments.demo import run_demo

    run_demo(output, seed=seed)


def train(
    *,
    config: Annotated[Path, typer.Argument(help="YAML; see configs/ and the config.yaml of any run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")],
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for example training.steps=500.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Installed model (`overcast models`), bundle or run folder to start from."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Resume a stopped run; --no-resume starts from the beginning.")] = True,
) -> None:
    """Train a method. If it is interrupted, run the same command again to resume.

    To lengthen a finished run, raise `training.steps`.

    Example: `overcast train configs/simulated.yaml -o runs/cmhcl --set data.root=data/city --set method.name=cmhcl`
    """
    from overcast.config import load_config
    from overcast.config import train as run

    given = [*(sets or ()), *([] if start is None else [f"start.bundle={start}"])]
    result = run(load_config(config, given), output, resume=resume)
    for name, metrics in result.metrics.items():
        typer.echo(f"{name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))
    typer.echo(f"bundle for one sensor: {result.deployable}\nall branches: {result.full}")


@dataclass(frozen=True)
class Judged:
    """What is evaluated, and how; each field is an option."""

    modalities: Annotated[
        str | None,
        typer.Option(help="What the models are given: sar, both, optical, both-optical-zero, both-optical-mean."),
    ] = None
    part: Annotated[EvaluatedPart, typer.Option(help="Part of the split.")] = EvaluatedPart.TEST
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for example data.root=data/city.")] = None
    instances: Annotated[bool | None, typer.Option(help="Match single footprints; default: below 3 m pixels.")] = None
    tta: Annotated[
        Tta | None,
        typer.Option(
            help="Average over look-safe views: flip along the flight direction, full: at three scales too. "
            "Default: as each run's configuration says."
        ),
    ] = None
    separate: Annotated[
        Separation | None,
        typer.Option(help="Separate touching buildings by learnt edges and contacts. Default: as configured."),
    ] = None
    device: Annotated[str, typer.Option(help="auto: a GPU where there is one; or cpu, cuda ...")] = AUTO

    def request(self, runs: Sequence[Path], output: Path) -> Request:
        """The same for the package. Raises ConfigError for modalities that are none."""
        from overcast.batch import InputModalities
        from overcast.data.splits.parts import Part
        from overcast.errors import ConfigError
        from overcast.experiments.compare import Request

        known = [available.value for available in InputModalities]
        wanted = None if self.modalities is None else [name.strip() for name in self.modalities.split(",")]
        for name in wanted or ():
            if name not in known:
                raise ConfigError(f"--modalities {name}: no such choice; choose from {', '.join(known)}.")
        names = " ".join(str(run) for run in runs)
        return Request(
            part=Part(self.part.value),
            available=None if wanted is None else tuple(InputModalities(name) for name in wanted),
            settings=tuple(self.sets or ()),
            instances=self.instances,
            command=f"overcast evaluate {names} -o {output} --part {self.part.value}"
            + (f" --modalities {self.modalities}" if self.modalities else "")
            + (f" --tta {self.tta.value}" if self.tta else "")
            + (f" --separate {self.separate.value}" if self.separate else ""),
            device=settled_device(self.device, capabilities()),
            tta=self.tta,
            separate=self.separate,
        )


@with_groups
def evaluate(
    *,
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders; the first leads the report.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report, tables and figures.")] = Path(
        "evaluation"
    ),
    judged: Judged,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Evaluate runs with the modalities you name and write one report.

    Example: `overcast evaluate runs/cmhcl runs/sar -o evaluation --modalities sar,both`
    """
    from overcast.experiments.compare import compare_runs

    request = judged.request(runs, output)
    with counting_bar("evaluating", "chips") as update:
        comparison = compare_runs(runs, output, request, lambda name, done, total: update(done, total, name))
    if as_json:
        pairs = ((result, result.evaluation.summary()) for result in comparison.results)
        print_json([{"method": r.method, "modalities": r.available.value} | summary for r, summary in pairs])
    else:
        show_comparison(comparison)


def show_comparison(comparison: Comparison) -> None:
    """The table of a comparison and where the report lies."""
    rows = []
    for result in comparison.results:
        summary = result.evaluation.summary()
        low, high = summary.get("iou_low"), summary.get("iou_high")
        interval = "" if low is None or high is None else f"{low:.3f} .. {high:.3f}"
        figures = [f"{summary[name]:.3f}" if name in summary else "" for name in ("f1", "instance_f1", "ece")]
        rows.append([result.method, result.available.value, f"{summary['iou']:.3f}", interval, *figures])
    columns = ("method", "given", "IoU", "95 % over places", "F1", "instance F1", "ECE")
    print_table(columns, rows)
    for sentence in comparison.left_out:
        typer.echo(sentence, err=True)
    tables = comparison.tables
    typer.echo(f"report: {comparison.report}\nfigures: {tables.csv}\ntables: {tables.markdown}, {tables.latex}")


def describe(
    *,
    what: Annotated[str, typer.Argument(help="Configuration YAML, run folder, bundle or installed model.")],
    size_px: Annotated[int, typer.Option(help="Side of the image that multiply-adds are counted for.")] = 512,
    sar_bands: Annotated[int, typer.Option(help="For a configuration whose data set is not at hand.")] = 4,
    optical_bands: Annotated[int, typer.Option(help="For a configuration whose data set is not at hand.")] = 3,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for a configuration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List branches, parameters and multiply-adds of what trains and of what is deployed.

    Example: `overcast describe configs/spacenet6-east.yaml --json`
    """
    from overcast.methods.describe import describe as describe_method

    described = describe_method(_method_of(what, (sar_bands, optical_bands), sets or []), size_px)
    if as_json:
        print_json(described)
    else:
        _show_description(described, size_px)


def _method_of(name: str, bands: tuple[int, int], sets: list[str]) -> Method:
    """The method of a run folder, a bundle, an installed model or a configuration, without ImageNet weights."""
    from overcast.bundle.bundle import RECORD, load_bundle
    from overcast.config import load_config
    from overcast.installed.folders import find_installed
    from overcast.methods.options import build_method

    installed = find_installed(name)
    what = Path(name) if installed is None else installed.folder
    folder = what / "full" if (what / "full").is_dir() else what
    if folder.is_dir() or folder.name == RECORD:
        info = load_bundle(folder.parent if folder.name == RECORD else folder).info
        return build_method(info.method, info.network.untrained())
    config = load_config(what, sets)
    return build_method(config.method, config.network_spec(*bands).untrained())


def _show_description(described: dict[str, object], size_px: int) -> None:
    def row(name: str, part: dict[str, object], deployed: str) -> list[str]:
        parameters, work = int(str(part["parameters"])), int(str(part["multiply_adds"]))
        return [name, f"{parameters / 1e6:.3f}", f"{work / 1e9:.3f}", deployed]

    branches = described["branches"]
    assert isinstance(branches, list)
    rows = [row(branch["name"], branch, "yes" if branch["deployed"] else "") for branch in branches]
    for name in ("trained", "deployed"):
        part = described[name]
        assert isinstance(part, dict)
        rows.append(row(f"{name} ({' + '.join(part['inputs'])})", part, ""))
    columns = ("part", "million parameters", f"10^9 multiply-adds at {size_px} px", "deployed")
    print_table(columns, rows, title=str(described["method"]))
    stages = described["stages"]
    assert isinstance(stages, list)
    if len(stages) > 1:
        shares = ", ".join(f"{stage['name']} {stage['share_of_steps']:.0%}" for stage in stages)
        typer.echo(f"stages of the training, share of the steps: {shares}")


@dataclass(frozen=True)
class Made:
    """What the file computes."""

    tile: Annotated[int, typer.Option(help="Side of the square tiles in pixels, a multiple of 32.")] = 512
    image: Annotated[
        ImageKind, typer.Option("--input", help="8-bit pixels divided by 255 (QGIS), or pixels in the model's unit.")
    ] = ImageKind.BYTES
    calibrated: Annotated[bool, typer.Option(help="Divide logits by the temperature in the model.")] = True
    precision: Annotated[
        ExportPrecision, typer.Option(help="int8: a quarter of the size and faster on a CPU; needs --calibrate.")
    ] = ExportPrecision.FP32
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Scene that int8 is fitted to and judged by; refused beyond 0.2 IoU points. May be repeated."
        ),
    ] = None


@with_groups
def export(
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            help="Installed model, bundle or run folder; without it the first that is installed with Overcast.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .onnx.")],
    made: Made,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that exists.")] = False,
) -> None:
    """Write a model as ONNX for QGIS (Deepness) and other programs: pixels in, probability out.

    The file is run and compared with PyTorch before it appears. Its metadata says how to feed it.

    Example: `overcast export runs/cmhcl --output buildings.onnx`
    """
    from overcast.bundle.bundle import BUNDLED, load_bundle
    from overcast.errors import ConfigError
    from overcast.installed.folders import model_folder
    from overcast.scenes.export import ByteRange, export_model
    from overcast.scenes.export_int8 import export_int8
    from overcast.scenes.model import SceneModel

    folder = BUNDLED if model is None else model_folder(model)
    loaded = SceneModel.of(load_bundle(folder), calibrated=made.calibrated)
    if (made.precision is ExportPrecision.INT8) is not bool(made.calibrate):
        raise ConfigError("--precision int8 and --calibrate belong together: name scenes like those to be mapped.")
    if made.calibrate:
        fitted = export_int8(loaded, output, made.calibrate, tile=made.tile, kind=made.image, overwrite=overwrite)
        typer.echo(f"{output}: int8 costs about {fitted.points_lost:.2f} IoU points, by {fitted.tiles} tiles")
    else:
        difference = export_model(loaded, output, tile=made.tile, kind=made.image, overwrite=overwrite)
        typer.echo(f"{output}: probabilities differ from PyTorch's by at most {difference:.2g}")
    if made.image is ImageKind.BYTES:
        typer.echo(f"bytes for it: {ByteRange.of(loaded).command()}")
