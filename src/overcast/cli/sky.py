"""Options that `predict` and `map` share: a part of the scene, and an optical image beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from overcast.inference.ground import Area
    from overcast.inference.sky import OpticalInput
    from overcast.models.mixing import Mixing


class MixingChoice(StrEnum):
    """How SAR and an optical image become one map."""

    CHOICE = "choice"
    BLEND = "blend"
    FEATURES = "features"


AreaOption = Annotated[
    str | None,
    typer.Option(
        "--area",
        metavar="FILE|XMIN,YMIN,XMAX,YMAX",
        help="Only this part: polygons of a file, or a rectangle in the scene's coordinates; in degrees with @lonlat "
        "behind it.",
    ),
]
OpticalOption = Annotated[
    list[str] | None,
    typer.Option(
        "--optical",
        help="Optical image in any coordinate system, used where it shows the ground; may be repeated for sheets. With "
        "many scenes also a folder of images named after them. The model is a run folder.",
    ),
]
CloudsOption = Annotated[
    str | None, typer.Option("--clouds", help="Mask of the optical image's clouds, or a folder of masks.")
]
CloudValuesOption = Annotated[
    str | None,
    typer.Option("--cloud-values", help="Values of the mask that hide the ground: 3,8,9,10; default: all but 0."),
]
OpticalNodataOption = Annotated[
    float | None, typer.Option("--optical-nodata", help="Value without data in the optical image.")
]
MixingOption = Annotated[
    MixingChoice,
    typer.Option("--mixing", help="How both sensors become one map."),
]


@dataclass(frozen=True)
class Beside:
    """What the command line says of an optical image."""

    optical: list[str] | None
    clouds: str | None
    cloud_values: str | None
    nodata: float | None
    mixing: MixingChoice

    def input(self) -> OpticalInput | None:
        """The image; None without one. Raises ConfigError for what does not fit together."""
        said = (self.optical, self.clouds, self.cloud_values, self.nodata)
        if all(one is None for one in said) and self.mixing is MixingChoice.BLEND:
            return None

        from overcast.errors import ConfigError
        from overcast.inference.sky import optical_input

        values = None
        if self.cloud_values is not None:
            try:
                values = [int(text) for text in self.cloud_values.split(",")]
            except ValueError:
                raise ConfigError(
                    f"--cloud-values {self.cloud_values}: write whole numbers with commas between them, such as 3,8,9."
                ) from None
        if self.mixing is not MixingChoice.BLEND and not self.optical:
            raise ConfigError("--mixing is about an optical image: name it with --optical.")
        return optical_input(self.optical or [], self.clouds, values, self.nodata)

    def chosen_mixing(self) -> Mixing | None:
        """None: the default."""
        from overcast.models.mixing import Mixing

        return None if self.mixing is MixingChoice.BLEND else Mixing(self.mixing.value)


def given_area(text: str | None) -> Area | None:
    """The area of `--area`. Raises an error where it is none."""
    from overcast.inference.ground import area_of

    return None if text is None else area_of(text)
