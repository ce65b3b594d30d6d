"""What a user should know of scenes before training: what does not fit, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from affine import Affine

from overcast.data.scenes.description import description_file, read_scenes
from overcast.data.scenes.layers import Mosaic
from overcast.data.scenes.offsets import NEAR_PX, Offset, measure_offsets
from overcast.data.scenes.open_place import labels_outside, native_gsd_m, open_place
from overcast.data.scenes.place import Place
from overcast.errors import InputError
from overcast.raster.georeference import Georeference

SURE = 0.8
"""Confidence from which on an offset is taken as measured."""
LEAN_M = 3.0
"""Metres by which roofs may lie beside their footprints in an optical image that is not taken from straight above."""
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
        InputError: The pixel size of the data set cannot be determined.
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
        yield _compared(place)


def _compared(place: Place) -> PlaceFinding:
    offsets = tuple(measure_offsets(place))
    problems = list(_turned(place, offsets))
    warnings = [] if problems else list(_sentences(place, offsets))
    if place.footprints is not None and place.area is not None:
        outside = labels_outside(place.footprints, place.area)
        if outside:
            warnings.append(
                f"place {place.name}: {outside} of {len(place.footprints)} footprints lie outside of the labelled area "
                "and are not used; enlarge the area if they are complete there."
            )
    return PlaceFinding(place.name, place, offsets, tuple(problems), tuple(warnings))


def _sentences(place: Place, offsets: tuple[Offset, ...]) -> Iterator[str]:
    """A warning about each offset of more than `NEAR_PX`.

    High things lean: towards the radar in SAR images, whose edges in a town may lie 10 m nearer to it, and away from
    the camera in optical ones. Footprints show the ground. Where both images have been compared with them, they are not
    judged by each other.
    """
    sure = [offset for offset in offsets if offset.confidence >= SURE]
    with_footprints = {offset.reference for offset in sure if offset.layer == "footprints"}
    for offset in sure:
        allowed, lean = NEAR_PX, ""
        if offset.layer == "optical":
            if with_footprints == {"sar", "optical"}:
                continue
            lean = ", less what buildings lean towards the radar, which may be 10 m"
        elif offset.reference == "optical":
            allowed = NEAR_PX + LEAN_M / place.grid.gsd_m
        if offset.px > allowed:
            yield (
                f"place {place.name}: the {offset.layer} must be moved by {offset.east_m:+.1f} m east and "
                f"{offset.north_m:+.1f} m north ({offset.px:.1f} px) to lie on the {_called(offset.reference)} "
                f"(confidence {offset.confidence:.2f}); look at the picture and, if that is so, correct it with "
                f"shift_m{lean}."
            )


def _called(layer: str) -> str:
    return f"{'SAR' if layer == 'sar' else layer} image"


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
