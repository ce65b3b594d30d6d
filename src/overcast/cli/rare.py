"""Options of `predict` and `map` that few need, given as `--set key=value`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from overcast.arithmetic import Precision
from overcast.choices import Encoding, MixingChoice, Separate, Tta
from overcast.runtime.options import Runtime
from overcast.section import Section
from overcast.settings import read_settings


def moment(value: Any) -> datetime | None:
    """A time as ISO 8601 writes it, with or without fraction and zone. Raises ValueError for anything else."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(
            f"{value!r} is not a time; write 2024-05-06, 2024-05-06T07:08:09.5Z or 2024-05-06T09:08:09+02:00"
        ) from None


class RareOptions(Section):
    """Keys of `--set` of `predict` and `map`."""

    tile: int = 768
    """Largest side of the tiles in pixels, a multiple of 32."""
    overlap: int = 64
    """Pixels that neighbouring tiles share at least."""
    margin: int = 16
    """Pixels at inner borders of tiles that give context only; at most half of the overlap."""
    batch_size: int | None = Field(default=None, ge=1)
    """Tiles per forward pass; null: one on a CPU, eight elsewhere."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of each process; null: as many as there are cores. Another number changes the last bits."""
    precision: Precision = Precision.AUTO
    """Arithmetic of the network: auto (bf16 where processor or GPU compute it natively), fp32, bf16 or int8."""
    runtime: Runtime = Runtime.AUTO
    """What runs the network: auto (the fastest that works, for large scenes), or one of docs/runtimes.md."""
    cache: bool = True
    """Keep exported networks in the cache folder for the next run."""
    tta: Tta = Tta.OFF
    """Average over look-safe views: flip, along the flight direction (twice the time); full, at three scales too (six
    times); or off."""
    calibrated: bool = True
    """Divide logits by the temperature in the model, where there is one."""
    gsd_m: float | None = Field(default=None, gt=0)
    """Metres per pixel, where the file does not say."""
    acquired: Annotated[datetime | None, BeforeValidator(moment)] = None
    """When the scene was taken, ISO 8601, UTC unless it says another zone; kept with the footprints."""
    cloud_values: tuple[int, ...] | None = None
    """Values of the cloud mask that hide the ground, for example [3, 8, 9, 10]; null: all but 0."""
    optical_nodata: float | None = None
    """Value without data in the optical image."""
    mixing: MixingChoice = MixingChoice.AUTO
    """How both sensors become one map: blend, features or choice; auto: blend, which draws no border along clouds."""
    separate: Separate = Separate.AUTO
    """Touching buildings as one footprint (off), or separated by shared walls (watershed); auto: separated where the
    model has learnt the boundaries between them."""
    strip_pixels: int = 2_000_000
    """Pixels whose outlines are drawn together; it bounds the memory and changes no footprint."""
    encoding: Encoding = Encoding.UINT8
    """How the probability is stored: uint8, in steps of 0.4 percent, or float32."""
    style: bool = True
    """Write a QGIS style beside the footprints and into a GeoPackage."""
    stac: bool = True
    """Write a STAC item beside the outputs."""
    reference: Path | None = None
    """True footprints that `predict --map` compares with."""


def rare_options(sets: Sequence[str]) -> RareOptions:
    """What `--set` says. Raises ConfigError for unknown keys, naming the nearest one, and for wrong values.

    >>> rare_options(["tile=512", "tta=flip"]).tile
    512
    """
    return read_settings(RareOptions, None, sets)
