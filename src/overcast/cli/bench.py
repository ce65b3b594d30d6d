"""The commands that measure speed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.arithmetic import AUTO, Precision, capabilities, settled_device
from overcast.cli.console import ERROR_CONSOLE, counting_bar, print_json
from overcast.cli.groups import with_groups
from overcast.experiments.speed.storage import Storage
from overcast.runtime.options import Runtime

if TYPE_CHECKING:
    from overcast.experiments.speed.scene import Request, Row

bench_app = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")


@dataclass(frozen=True)
class Measured:
    """What is measured, and how; each field is an option."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Installed model, bundle or run folder; without it the first that is installed with Overcast.",
        ),
    ] = None
    size: Annotated[int, typer.Option(min=64, help="Side of the scene in pixels.")] = 4000
    runtimes: Annotated[
        list[Runtime] | None, typer.Option("--runtime", help="To be compared with eager fp32; all by default.")
    ] = None
    precisions: Annotated[
        list[Precision] | None,
        typer.Option("--precision", help="By default fp32, and bf16 where it is not only emulated."),
    ] = None
    tile: Annotated[int, typer.Option(help="Side of the tiles in pixels.")] = 768
    device: Annotated[str, typer.Option(help="auto: a GPU where there is one; or cpu, cuda ...")] = AUTO
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; as many as torch takes by default.")] = None
    rounds: Annotated[int, typer.Option(min=1, help="Medians are of so many scenes.")] = 3
    footprints: Annotated[bool, typer.Option(help="Make and write footprints too.")] = False
    seed: Annotated[int, typer.Option(help="Of the simulated scene.")] = 0
    stored: Annotated[Storage, typer.Option(help="Blocks of the scene's file: deflate, or none for as they are.")] = (
        Storage.DEFLATE
    )

    def request(self) -> Request:
        """The same for the package. Imports PyTorch."""
        import torch

        from overcast.bundle.bundle import BUNDLED
        from overcast.experiments.speed.scene import Request, measured_precisions
        from overcast.installed.folders import model_folder

        folder, machine = BUNDLED if self.model is None else model_folder(self.model), capabilities()
        place = settled_device(self.device, machine)
        return Request(
            model=folder,
            size_px=self.size,
            runtimes=tuple(self.runtimes or (one for one in Runtime if one is not Runtime.AUTO)),
            precisions=measured_precisions(self.precisions or (), place, machine),
            tile=self.tile,
            device=place,
            threads=self.threads or torch.get_num_threads(),
            rounds=self.rounds,
            footprints=self.footprints,
            seed=self.seed,
            storage=self.stored,
        )


@bench_app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@bench_app.command()
@with_groups
def scene(
    *,
    measured: Measured,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Map a simulated scene with every runtime: seconds per km2, overhead over the bare network, memory, IoU lost.

    The scene resembles what the model was trained for; it is made anew and removed. Each runtime is measured in
    processes of its own. `by CPU` is processor time of all threads: the one to trust where other work runs.

    Example: `overcast bench scene --size 2048 --runtime openvino`
    """
    from overcast.experiments.speed.report import facts, plain, text
    from overcast.experiments.speed.scene import bench_scene, cases

    request = measured.request()
    about, numbers = facts(request.threads), count(1)

    def print_row(row: Row) -> None:
        update(next(numbers), total)
        ERROR_CONSOLE.print(f"{row.case.name}: {row.failure or 'measured'}", highlight=False, soft_wrap=True)

    total = len(cases(request))
    with counting_bar("measuring", "runtimes") as update:
        found = bench_scene(request, on_row=print_row)
    if as_json:
        print_json(plain(found, about))
    else:
        typer.echo(text(found, about))
