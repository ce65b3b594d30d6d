"""What several commands declare alike: panels that help shows options in, names of keys, and the area."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from overcast.scenes.ground import Area

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


class _Told(TypedDict):
    metavar: str
    help: str


AREA: _Told = {
    "metavar": "FILE|XMIN,YMIN,XMAX,YMAX",
    "help": "Only this part: polygons of a file, or a rectangle in the scene's coordinates; in degrees with @lonlat "
    "behind it.",
}


def given_area(text: str | None) -> Area | None:
    """The area of `--area`. Raises an error where it is none."""
    from overcast.scenes.ground import area_of

    return None if text is None else area_of(text)
