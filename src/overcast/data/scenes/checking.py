"""What a user should know of scenes before training: what does not fit, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from affine import Affine

from overcast.data.georeference import Georeference
from overcast.data.scenes.description import ScenesDescription, description_file, read_scenes
from overcast.data.scenes.layers import Mosaic
from overcast.data.scenes.offsets import NEAR_PX, Offset, measure_offsets
from overcast.data.scenes.opening import labels_outside, native_gsd_m, open_place
from overcast.data.scenes.place import Place
from overcast.data.units import RadarSide
from overcast.errors import InputError

SURE = 0.8
"""Confidence from which on an offset is taken as measured."""
RADAR_LEAN_M, OPTICAL_LEAN_M = 10.0, 3.0
"""Metres by which edges of a built-up place may lie nearer to the radar than the ground in SAR images, and in any
direction in optical images that are not taken from straight above."""
BETTER = 1.3
"""A turned image is the right one where its edges correlate better by this factor."""
TURNS = {
    "upside down": (False, True),
    "mirrored left to right": (True, False),
    "turned by 180 degrees": (True, True),
}


@dataclass(frozen=True)
class PlaceFinding:
    """What a place has and what is wrong with it."""

    name: str
    place: Place | None
    """None where it cannot be opened."""
    offsets: tuple[Offset, ...]
    problems: tuple[str, ...]
    """What must be mended."""
    warnings: tuple[str, ...]
    """What should be looked at."""


def check_scenes(path: Path) -> Iterator[PlaceFinding]:
    """Open and compare the files of each place.

    Raises:
        ConfigError: The description has an unknown key or a wrong value.
        InputError: The pixel size of the data set cannot be told.
    """
    file = description_file(path)
    description = read_scenes(file)
    gsd_m = native_gsd_m(description, file.parent)
    for name, options in description.places.items():
        try:
            place = open_place(name, options, description, file.parent, gsd_m)
        except InputError as error:
            yield PlaceFinding(name, None, (), (str(error),), ())
            continue
        yield _compared(place, description)


def _compared(place: Place, description: ScenesDescription) -> PlaceFinding:
    offsets = tuple(measure_offsets(place))
    problems = list(_turned(place, offsets))
    warnings = [] if problems else [
        sentence for offset in offsets if (sentence := _sentence(place, offset, description.sar.radar_side))
    ]  # fmt: skip
    if place.footprints is not None and place.area is not None:
        outside = labels_outside(place.footprints, place.area)
        if outside:
            warnings.append(
                f"place {place.name}: {outside} of {len(place.footprints)} footprints lie outside of the labelled area "
                "and are not used; enlarge the area if they are complete there."
            )
    return PlaceFinding(place.name, place, offsets, tuple(problems), tuple(warnings))


def _sentence(place: Place, offset: Offset, side: RadarSide | None) -> str | None:
    """A warning about an offset that is more than what leaning buildings explain."""
    rows, cols = without_lean(offset, place.grid.gsd_m, side)
    if max(abs(rows), abs(cols)) <= NEAR_PX or offset.confidence < SURE:
        return None
    return (
        f"place {place.name}: the {offset.layer} must be moved by {offset.east_m:+.1f} m east and "
        f"{offset.north_m:+.1f} m north ({offset.px:.1f} px) to lie on the {_called(offset.reference)} (confidence "
        f"{offset.confidence:.2f}); look at the picture, and correct it with shift_m if that is so, less what "
        "buildings lean towards the radar or away from the camera."
    )


def _called(layer: str) -> str:
    return "SAR image" if layer == "sar" else layer


def without_lean(offset: Offset, gsd_m: float, side: RadarSide | None) -> tuple[float, float]:
    """Rows and columns of an offset beyond what the lean of buildings explains.

    Edges of the SAR image lie up to `RADAR_LEAN_M` nearer to the radar than those of the other layer; where nobody says
    on which side it stood, in any direction.
    """
    radar = RADAR_LEAN_M / gsd_m if offset.reference == "sar" else 0.0
    optical = OPTICAL_LEAN_M / gsd_m if "optical" in (offset.layer, offset.reference) else 0.0
    up, down, left, right = (
        optical + (radar if side in (None, toward) else 0.0)
        for toward in (RadarSide.NORTH, RadarSide.SOUTH, RadarSide.WEST, RadarSide.EAST)
    )
    return _rest(offset.rows, -up, down), _rest(offset.cols, -left, right)


def _rest(value: float, low: float, high: float) -> float:
    return value - min(max(value, low), high)


def _turned(place: Place, offsets: tuple[Offset, ...]) -> Iterator[str]:
    """A sentence where the optical image fits better upside down or mirrored."""
    if place.optical is None or len(offsets) == 0:
        return
    plain = _best_of_optical(offsets)
    for how, turn in TURNS.items():
        turned = replace(place, optical=_mirrored(place.optical, *turn))
        best = _best_of_optical(tuple(measure_offsets(turned)))
        if best.confidence >= SURE and best.correlation > BETTER * plain.correlation:
            yield (
                f"place {place.name}: the optical image fits {how} (correlation of edges {best.correlation:.2f}, "
                f"not {plain.correlation:.2f}); correct its georeference or export it again."
            )
            return


def _best_of_optical(offsets: tuple[Offset, ...]) -> Offset:
    """The clearest comparison of the optical image with another layer."""
    return max(
        (offset for offset in offsets if "optical" in (offset.layer, offset.reference)),
        key=lambda offset: offset.correlation,
        default=Offset("optical", "sar", 0, 0, 0, 0, 0.0, 0.0),
    )


def _mirrored(optical: Mosaic, columns: bool, rows: bool) -> Mosaic:
    def turned(grid: Georeference) -> Georeference:
        flip = Affine(-1 if columns else 1, 0, grid.width if columns else 0, 0, -1 if rows else 1,
                      grid.height if rows else 0)  # fmt: skip
        return Georeference(grid.height, grid.width, grid.transform * flip, grid.crs)

    return Mosaic(tuple(replace(layer, source=turned(layer.source)) for layer in optical.layers))
