"""A part of the scene, and an optical image beside it, as options of `predict`, `map` and `prepare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from overcast.choices import Mixing, MixingChoice

if TYPE_CHECKING:
    from overcast.scenes.ground import Area
    from overcast.scenes.sky import OpticalInput


class _Told(TypedDict):
    metavar: str
    help: str


AREA: _Told = {
    "metavar": "FILE|XMIN,YMIN,XMAX,YMAX",
    "help": "Only this part: polygons of a file, or a rectangle in the scene's coordinates; in degrees with @lonlat "
    "behind it.",
}
OPTICAL = (
    "Optical image in any coordinate system, used where it shows the ground; may be repeated for sheets. With many "
    "scenes also a folder of images named after them. The model is a run folder."
)
CLOUDS = "Mask of the optical image's clouds, or a folder of masks."
AreaOption = Annotated[str | None, typer.Option("--area", **AREA)]


@dataclass(frozen=True)
class Beside:
    """What the command line says of an optical image."""

    optical: Sequence[str] | None
    clouds: str | None
    cloud_values: Sequence[int] | None
    nodata: float | None
    mixing: MixingChoice

    def input(self) -> OpticalInput | None:
        """The image; None without one. Raises ConfigError for what does not fit together."""
        said = (self.optical, self.clouds, self.cloud_values, self.nodata)
        if all(one is None for one in said) and self.mixing is MixingChoice.AUTO:
            return None

        from overcast.errors import ConfigError
        from overcast.scenes.sky import optical_input

        if self.mixing is not MixingChoice.AUTO and not self.optical:
            raise ConfigError("--set mixing is about an optical image: name it with --optical.")
        return optical_input(self.optical or [], self.clouds, self.cloud_values, self.nodata)

    def chosen_mixing(self) -> Mixing | None:
        """None: the default, `blend`."""
        return None if self.mixing is MixingChoice.AUTO else Mixing(self.mixing.value)


def given_area(text: str | None) -> Area | None:
    """The area of `--area`. Raises an error where it is none."""
    from overcast.scenes.ground import area_of

    return None if text is None else area_of(text)
