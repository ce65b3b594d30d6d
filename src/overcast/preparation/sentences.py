"""What is done to a scene, and what its user should know, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyproj import CRS

from overcast.raster.addresses import file_name
from overcast.raster.compass import side_of, up_azimuth

if TYPE_CHECKING:
    from overcast.preparation.plan import PreparationPlan

COARSE_INPUT = 1.5
"""Length of input pixels, in pixels of the model, from which on the user is warned."""


def steps(plan: PreparationPlan) -> tuple[str, ...]:
    """What is done, one sentence each."""
    bands = []
    for band in plan.bands:
        source = band.reader.band
        tiles = f" and {len(source.tiles) - 1} tiles beside it" if source.tiles else ""
        bands.append(f"{band.name}: band {source.index} of {file_name(source.path)}{tiles}, {band.how}")
    missing = sorted({value for band in plan.bands for value in band.reader.nodata})
    nodata = "no data: NaN, what the files declare" + "".join(f", {value:g}" for value in missing)
    placed = [one.sentence for one in plan.placements]
    return (*bands, nodata, *placed, _grid_sentence(plan), *_area_sentences(plan), *_look_sentences(plan))


def notes(plan: PreparationPlan) -> tuple[str, ...]:
    """What the user should know before trusting a prediction."""
    longest = max((1 / min(band.regridding.footprint) for band in plan.bands if band.regridding), default=1.0)
    coarse = (
        f"the input's pixels are {longest:.1f} times as long as the model's: what lies between them is "
        "interpolated, not seen, and the model was not trained on such images."
    )
    return (*(one.note for one in plan.placements), *((coarse,) if longest >= COARSE_INPUT else ()))


def _grid_sentence(plan: PreparationPlan) -> str:
    grid, first = plan.written, plan.bands[0].regridding
    size = f"{grid.height} x {grid.width} pixels of {plan.sensor.gsd_m:g} m in {_crs_name(str(grid.crs))}"
    if all(band.regridding is None for band in plan.bands) or first is None:
        return f"grid kept: {size}"
    turned = "north up" if grid.north_up else f"upper side at {up_azimuth(grid):.1f} degrees from north"
    rows, cols = first.footprint
    how = f"mean of power over {rows:.3g} x {cols:.3g} pixels" if first.averages else first.kind.value
    return f"grid: {size}, {turned}; {how}"


def _crs_name(crs: str) -> str:
    """A code as it is; of a page of WKT the name."""
    return crs if len(crs) <= 20 else str(CRS.from_user_input(crs).name)


def _area_sentences(plan: PreparationPlan) -> list[str]:
    if plan.ground is None or plan.options.area is None:
        return []
    row, col = plan.window.row, plan.window.col
    return [f"area {plan.options.area.text}: from row {row} and column {col} of the whole grid, whose pixels are kept"]


def _look_sentences(plan: PreparationPlan) -> list[str]:
    if plan.radar is None:
        return []
    side = side_of(plan.radar.azimuth_deg, up_azimuth(plan.grid))
    where = f"radar at {plan.radar.azimuth_deg:.1f} degrees from north ({plan.radar.source})"
    return [f"{where}: the image's {side.value if side else 'unknown'} side"]
