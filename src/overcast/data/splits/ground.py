"""Rectangles of ground: which of them overlap or come close, and how much they share.

All arithmetic is in metres. Geographic coordinates are brought to an equal-area cylindrical projection, where a
rectangle of longitude and latitude stays a rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform, transform_bounds

from overcast.data.chips import Bounds
from overcast.errors import InputError
from overcast.raster.georeference import same_crs

TOUCH_M = 1e-3
"""Rectangles that overlap by less than this on one axis only touch: geotransforms are not more exact."""

Boxes = NDArray[np.float64]
"""(N, 4): left, bottom, right, top in metres."""


class Placed(Protocol):
    """What a split needs to know of a chip."""

    @property
    def key(self) -> str:
        """Unique name."""
        ...

    @property
    def place(self) -> str:
        """Group that is never cut."""
        ...

    @property
    def bounds(self) -> Bounds | None:
        """Ground covered; None without georeference."""
        ...


@dataclass(frozen=True)
class Contacts:
    """P pairs of rectangles, one of each side, that overlap or are closer than a margin."""

    pairs: NDArray[np.intp]
    """(P, 2): index on the left side, index on the right side."""
    shared: Boxes
    """(P, 4): the shared rectangle; empty (right <= left or top <= bottom) where the two are only close."""
    plane: NDArray[np.intp]
    """(P,): number of the coordinate system in which `shared` is given."""

    @property
    def areas_m2(self) -> NDArray[np.float64]:
        """(P,): shared area of each pair; 0 where the two are only close."""
        sides = self.shared[:, 2:] - self.shared[:, :2]
        return np.where((sides > TOUCH_M).all(axis=1), sides.prod(axis=1), 0.0)

    @property
    def union_m2(self) -> float:
        """Area of the union of the overlaps: ground that both sides cover, each square metre once."""
        real = self.areas_m2 > 0
        planes = np.unique(self.plane[real])
        areas = [shapely.union_all(_polygons(self.shared[real & (self.plane == plane)])).area for plane in planes]
        return float(sum(areas))


def contacts(left: Sequence[Bounds], right: Sequence[Bounds], margin_m: float = 0.0) -> Contacts:
    """Pairs that overlap, or (with a margin) whose gap is smaller than `margin_m`; touching is not overlapping.

    Coordinate systems are compared one by one; across two of them the only answer given is that nothing is near.

    Raises:
        InputError: Rectangles in different coordinate systems may overlap; an unknown coordinate system.
    """
    left_groups, right_groups = _by_crs(left), _by_crs(right)
    found: list[Contacts] = []
    for plane, ((crs_a, a), (crs_b, b)) in enumerate(product(left_groups, right_groups)):
        if same_crs(crs_a, crs_b):
            boxes_a, boxes_b = metric_boxes([left[i] for i in a], [right[i] for i in b])
            pairs, shared = _close_pairs(boxes_a, boxes_b, margin_m)
            indexes = np.column_stack([a[pairs[:, 0]], b[pairs[:, 1]]])
            found.append(Contacts(indexes, shared, np.full(len(pairs), plane, np.intp)))
        else:
            _require_far([left[i] for i in a], [right[i] for i in b], margin_m)
    if not found:
        return Contacts(np.empty((0, 2), np.intp), np.empty((0, 4)), np.empty(0, np.intp))
    return Contacts(
        np.concatenate([part.pairs for part in found]),
        np.concatenate([part.shared for part in found]),
        np.concatenate([part.plane for part in found]),
    )


def metric_boxes(*groups: Sequence[Bounds]) -> tuple[Boxes, ...]:
    """Each group as (N, 4) boxes in metres of one plane.

    Raises:
        InputError: The coordinate systems differ, or are unknown.
    """
    names = {bounds.crs for group in groups for bounds in group}
    if not names:
        return tuple(np.empty((0, 4)) for _ in groups)
    first = min(names)
    for other in sorted(names):
        if not _same(first, other):
            raise InputError(
                f"chips lie in different coordinate reference systems ({first} and {other}), so their ground cannot "
                "be compared: bring them to one with gdalwarp -t_srs, or split them by place."
            )
    plain = [np.array([[b.left, b.bottom, b.right, b.top] for b in group], np.float64) for group in groups]
    return tuple(_to_metres([boxes.reshape(-1, 4) for boxes in plain], first))


def _to_metres(groups: list[Boxes], name: str) -> list[Boxes]:
    crs = _parse(name)
    if not crs.is_geographic:
        return [boxes * float(crs.linear_units_factor[1]) for boxes in groups]
    every = np.concatenate(groups)
    middle = float((every[:, 1].min() + every[:, 3].max()) / 2)
    plane = CRS.from_proj4(f"+proj=cea +lat_ts={middle} +lon_0={every[:, 0].min()} +units=m +ellps=WGS84")
    return [_project(boxes, crs, plane) for boxes in groups]


def _project(boxes: Boxes, crs: CRS, plane: CRS) -> Boxes:
    if not len(boxes):
        return boxes
    left, bottom = transform(crs, plane, boxes[:, 0], boxes[:, 1])
    right, top = transform(crs, plane, boxes[:, 2], boxes[:, 3])
    return np.column_stack([left, bottom, right, top])


def _close_pairs(a: Boxes, b: Boxes, margin_m: float) -> tuple[NDArray[np.intp], Boxes]:
    """Pairs (P, 2) and their intersections (P, 4) of boxes that overlap or are closer than the margin."""
    i, j = shapely.STRtree(_polygons(b)).query(_polygons(a), predicate="dwithin", distance=margin_m)
    shared = np.column_stack([np.maximum(a[i, :2], b[j, :2]), np.minimum(a[i, 2:], b[j, 2:])])
    sides = shared[:, 2:] - shared[:, :2]
    gap = np.hypot(*np.maximum(-sides, 0).T)
    close = (sides > TOUCH_M).all(axis=1) | (gap < margin_m - TOUCH_M)
    return np.column_stack([i, j])[close].astype(np.intp), shared[close]


def _polygons(boxes: Boxes) -> NDArray[np.object_]:
    left, bottom, right, top = boxes.T
    return np.asarray(shapely.box(left, bottom, right, top))


def _by_crs(bounds: Sequence[Bounds]) -> list[tuple[str, NDArray[np.intp]]]:
    """Indexes of the rectangles of each coordinate system."""
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(bounds):
        name = next((known for known in groups if _same(known, item.crs)), item.crs)
        groups.setdefault(name, []).append(index)
    return [(name, np.array(indexes, np.intp)) for name, indexes in groups.items()]


def _require_far(a: Sequence[Bounds], b: Sequence[Bounds], margin_m: float) -> None:
    """Refuse rectangles of two coordinate systems unless their envelopes in longitude and latitude stay apart."""
    left, right = metric_boxes(_envelopes(a), _envelopes(b))
    pairs, _ = _close_pairs(left, right, margin_m)
    if len(pairs):
        raise InputError(
            f"some ground may be shared by chips in {a[0].crs} and chips in {b[0].crs}, which cannot be measured "
            "exactly: bring them to one coordinate reference system with gdalwarp -t_srs."
        )


def _envelopes(bounds: Sequence[Bounds]) -> list[Bounds]:
    degrees = "EPSG:4326"
    crs = _parse(bounds[0].crs)
    found = []
    for b in bounds:
        left, bottom, right, top = transform_bounds(crs, degrees, b.left, b.bottom, b.right, b.top)
        right += 360.0 if right < left else 0.0  # across the line of 180 degrees
        found.append(Bounds(left, bottom, right, top, degrees))
    return found


def _same(left: str, right: str) -> bool:
    if left == right:
        return True
    _parse(left), _parse(right)
    return same_crs(left, right)


def _parse(name: str) -> CRS:
    try:
        return CRS.from_user_input(name)
    except CRSError as error:
        raise InputError(
            f"{name!r} is not a coordinate reference system; give the files one with gdal_edit.py -a_srs EPSG:<code>."
        ) from error
