"""Arguments and options that `predict` and `map` share, each declared once, and the panels that help shows them in."""

from __future__ import annotations

from typing import Annotated

import typer

from overcast.choices import Outlines
from overcast.cli.sky import AREA, CLOUDS, OPTICAL
from overcast.raster.units import RadarSide, Unit

INPUT, MEANING, MACHINE = "Input", "What the numbers mean", "Model and machine"
FOOTPRINTS, OUTPUT = "Footprints", "Output"

MOVED = ("--into", "--write", "--workers", "--address")
"""Options about many scenes, which `predict` does not have."""

RARE = (
    "tile", "overlap", "margin", "batch_size", "threads", "precision", "runtime", "cache", "tta", "calibrated",
    "gsd_m", "acquired", "cloud_values", "optical_nodata", "mixing", "separate", "strip_pixels", "encoding", "style",
    "stac", "reference",
)  # fmt: skip
"""Keys of `--set`; `overcast.cli.rare.RareOptions` says what they mean."""

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Installed model (`overcast models`), bundle, or run folder of `overcast train`. Without it the "
        "installed model that takes the scene as it is declared.",
        rich_help_panel=MACHINE,
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto: a GPU where there is one; or cpu, cuda ...", rich_help_panel=MACHINE)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help=f"Rarely used, may be repeated, for example tile=512 (docs/outputs.md): {', '.join(RARE)}.",
        rich_help_panel=MACHINE,
    ),
]
BandsOption = Annotated[
    str | None,
    typer.Option("--bands", help="Band names in order, for example HH,HV,VH,VV.", rich_help_panel=MEANING),
]
UnitOption = Annotated[Unit | None, typer.Option("--unit", help="Unit of the pixels.", rich_help_panel=MEANING)]
NodataOption = Annotated[
    float | None, typer.Option("--nodata", help="Value without data; NaN always is.", rich_help_panel=MEANING)
]
RadarSideOption = Annotated[
    RadarSide | None,
    typer.Option("--radar-side", help="Side of the compass on which the radar stood.", rich_help_panel=MEANING),
]
AcceptOption = Annotated[
    bool,
    typer.Option(
        "--accept-values", help="Values are as declared even if they look otherwise.", rich_help_panel=MEANING
    ),
]
PartOption = Annotated[str | None, typer.Option("--area", rich_help_panel=INPUT, **AREA)]
OpticalOption = Annotated[list[str] | None, typer.Option("--optical", rich_help_panel=INPUT, help=OPTICAL)]
CloudsOption = Annotated[str | None, typer.Option("--clouds", rich_help_panel=INPUT, help=CLOUDS)]
ThresholdOption = Annotated[
    float, typer.Option("--threshold", help="Smallest probability inside a footprint.", rich_help_panel=FOOTPRINTS)
]
MinAreaOption = Annotated[
    float, typer.Option("--min-area-m2", help="Smaller footprints are dropped.", rich_help_panel=FOOTPRINTS)
]
OutlinesOption = Annotated[
    Outlines,
    typer.Option(
        "--outlines",
        help="How outlines are drawn: along pixel edges, squared gently, or every wall squared.",
        rich_help_panel=FOOTPRINTS,
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=OUTPUT)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT)]
