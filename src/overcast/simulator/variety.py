"""What differs from place to place beyond the drifts of a strip: a wide training knows many radars and many towns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator

from overcast.section import Section

if TYPE_CHECKING:
    from overcast.simulator.options import SimulationOptions


def _ascending(given: tuple[float, float]) -> tuple[float, float]:
    if given[0] > given[1]:
        raise ValueError(f"give the lower bound first, got {list(given)}")
    return given


Span = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""Least and greatest value of a uniform draw."""


class Variety(Section):
    """Uniform draws, one for each place, that replace the values of the same names; null keeps the value."""

    incidence_deg: Span | None = None
    """Angle between the line of sight and the vertical."""
    looks: Span | None = None
    """Independent looks, rounded. A sensor whose resolution is finer than the pixels gives more looks for each pixel:
    0.4 m resampled to 1 m gives about six times as many."""
    resolution_px: Span | None = None
    """Width of the impulse response."""
    weighting: Span | None = None
    """Weighting of the aperture: side lobes around strong scatterers."""
    noise_floor_db: Span | None = None
    """Thermal noise of the co-polar channels."""
    material_db: Span | None = None
    """Deviation of the brightness of surfaces and mechanisms."""
    misregistration_px: Span | None = None
    """Deviation of the shift between the radar image and the map."""
    polarisation: tuple[Literal["HH", "HV", "VH", "VV"], ...] = ()
    """The images have one band, which is one of these; () keeps the bands of all places the same."""
    band: tuple[Literal["X", "C"], ...] = ()
    """The wavelength is one of these."""
    built_share: Span | None = None
    """Share of blocks that carry buildings. Drawn cities only."""
    trees: Span | None = None
    """Density of trees."""

    @property
    def band_names(self) -> tuple[str, ...] | None:
        """What the one band of a data set is called; None where all places have the same bands."""
        return ("|".join(self.polarisation),) if self.polarisation else None


_OF_THE_CITY = ("built_share", "trees")


def varied(options: SimulationOptions, place: int) -> SimulationOptions:
    """The options of place number `place`; depends on the seed and that number alone."""
    variety = options.variety
    if variety is None:
        return options
    rng = np.random.default_rng(np.random.SeedSequence([options.seed, place, 1]))
    drawn: dict[str, Any] = {}
    for name in Variety.model_fields:
        span, share = getattr(variety, name), float(rng.random())  # one draw each, whatever is given
        if name in ("polarisation", "band"):
            if span:
                drawn[name] = span[int(share * len(span))]
        elif span is not None:
            drawn[name] = span[0] + share * (span[1] - span[0])
    if "looks" in drawn:
        drawn["looks"] = round(drawn["looks"])
    if "polarisation" in drawn:
        drawn["polarisations"] = (drawn.pop("polarisation"),)
    city = {name: drawn.pop(name) for name in _OF_THE_CITY if name in drawn}
    sar = type(options.sar).model_validate(options.sar.model_dump() | drawn)
    return options.model_copy(
        update={"sar": sar, "city": type(options.city).model_validate(options.city.model_dump() | city)}
    )
