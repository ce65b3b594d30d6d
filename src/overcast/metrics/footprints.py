"""Footprints of a whole scene against reference footprints: what a map of polygons, by whatever tool, is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.metrics.average_precision import Detections, detections
from overcast.metrics.instances import (
    SPACENET6_MIN_AREA_M2,
    Instance,
    InstanceCounts,
    Matching,
    match_instances,
)
from overcast.metrics.polis import PolisSum, polis
from overcast.raster.degrees import turn_of
from overcast.raster.vectors import in_metres, joined, read_shapes, single_polygons
from overcast.reading import first_line

REFERENCE_MARGIN_M = 50.0
"""Distance from the reference's convex hull beyond which a prediction lies on other ground."""


@dataclass(frozen=True)
class FootprintOptions:
    """What is compared."""

    min_area_m2: float = SPACENET6_MIN_AREA_M2
    """Smaller footprints count on neither side."""
    confidence: str = "confidence"
    """Column of the predictions that orders them; where it is missing all are equally sure."""
    area: Path | None = None
    """Polygons of the ground that is compared; footprints whose middle lies outside count on neither side."""


@dataclass(frozen=True)
class FootprintScores:
    """Figures of one scene. Areas overlap or not whatever the matching is: `area_iou` is that of both unions."""

    instances: InstanceCounts
    detections: Detections
    polis: PolisSum
    shared_m2: float
    union_m2: float
    predictions: int
    """Read, small ones included."""
    truths: int
    crs: str
    beyond: int
    """Predictions that lie more than `REFERENCE_MARGIN_M` outside of the convex hull of the reference: ground that the
    reference may not cover, on which they count as wrong."""

    @property
    def area_iou(self) -> float:
        """IoU of all predicted and all reference ground."""
        return self.shared_m2 / self.union_m2 if self.union_m2 else 1.0

    @property
    def note(self) -> str | None:
        """A sentence where the reference covers a part of the predictions only; None where it covers all."""
        if not self.beyond:
            return None
        return (
            f"{self.beyond} of {self.predictions} predicted footprints lie more than {REFERENCE_MARGIN_M:g} m outside "
            "of the ground that the reference spans and count as wrong: if the reference covers a part only, name that "
            "ground with --area."
        )

    def summary(self) -> dict[str, float | int | str | None]:
        """Flat figures, as printed and written; None for what does not exist."""
        counts = self.instances
        return {
            "instance_f1": counts.f1,
            "instance_precision": counts.precision,
            "instance_recall": counts.recall,
            "matched": counts.tp,
            "not_in_reference": counts.fp,
            "missed": counts.fn,
            "ap": self.detections.ap,
            "ap50": self.detections.ap50,
            "polis_m": self.polis.mean_m,
            "area_iou": self.area_iou,
            "predictions": self.predictions,
            "reference": self.truths,
            "beyond_reference": self.beyond,
            "crs": self.crs,
        }


@dataclass(frozen=True)
class MatchedFiles:
    """Two files of polygons and who found whom. The index of the tables is the row in the file."""

    claims: geopandas.GeoDataFrame
    """Predicted single polygons in the coordinate system of `truth`."""
    truth: geopandas.GeoDataFrame
    """Single polygons in metres."""
    confidence: NDArray[np.float64]
    """Confidence of each claim."""
    matching: Matching
    """Its indices count the claims and the truths, not the rows of the files."""


def score_footprints(predicted: Path, reference: Path, options: FootprintOptions | None = None) -> FootprintScores:
    """Match two files of polygons at IoU 0.5, each of any format and coordinate system, over the whole scene at once.

    Distances and areas are in metres: of the reference's coordinate system, or of the UTM zone at its middle where it
    is not in metres. Multipolygons count as their parts.

    Raises:
        InputError: A file cannot be read or names no coordinate system, or the reference has no polygon.
    """
    return scores_of(match_files(predicted, reference, options or FootprintOptions()))


def scores_of(files: MatchedFiles) -> FootprintScores:
    """Figures of two files that are matched."""
    truth, claims, matching = files.truth, files.claims, files.matching
    outlines, targets = claims.geometry.to_numpy(), truth.geometry.to_numpy()
    shared, union = _areas(outlines, targets)
    distances = [polis(outlines[match.prediction], targets[match.truth]) for match in matching.matches]
    return FootprintScores(
        instances=matching.counts,
        detections=_detections(matching, files.confidence),
        polis=PolisSum(sum(distances), len(distances)),
        shared_m2=shared,
        union_m2=union,
        predictions=len(claims),
        truths=len(truth),
        crs=str(truth.crs.to_string()),
        beyond=_beyond(claims, truth),
    )


def match_files(predicted: Path, reference: Path, options: FootprintOptions) -> MatchedFiles:
    """Match two files of polygons at IoU 0.5; raises as `score_footprints`."""
    truth = _polygons(reference)
    if truth.empty:
        raise InputError(f"{reference} holds no polygon: there is nothing to compare with.")
    claims = _polygons(predicted, like=truth)
    if options.area is not None:
        truth, claims = (_inside(table, options.area) for table in (truth, claims))
    confidence = _confidence(claims, options.confidence, predicted)
    outlines, targets = claims.geometry.to_numpy(), truth.geometry.to_numpy()
    instances = [Instance(outline, sure) for outline, sure in zip(outlines, confidence.tolist(), strict=True)]
    return MatchedFiles(claims, truth, confidence, match_instances(instances, list(targets), options.min_area_m2))


def _beyond(claims: geopandas.GeoDataFrame, truth: geopandas.GeoDataFrame) -> int:
    """Number of claims away from all ground that the reference can be said to cover."""
    if truth.empty or claims.empty:
        return 0
    covered = shapely.buffer(shapely.convex_hull(shapely.union_all(truth.geometry.to_numpy())), REFERENCE_MARGIN_M)
    return int(np.count_nonzero(~shapely.intersects(covered, claims.geometry.to_numpy())))


def _polygons(path: Path, like: geopandas.GeoDataFrame | None = None) -> geopandas.GeoDataFrame:
    table = _placed(path)
    if table.empty:
        return table if like is None else table.to_crs(like.crs)
    found = single_polygons(_moved(joined(table), like, path) if like is not None else in_metres(table))
    if found.empty:
        raise InputError(f"{path} holds {', '.join(sorted(set(table.geom_type)))}, but no polygon: give footprints.")
    return found


def _placed(path: Path) -> geopandas.GeoDataFrame:
    table = read_shapes(path)
    if table.crs is None:
        raise InputError(f"{path} names no coordinate system: save it with one.")
    return table[~(table.geometry.isna() | table.geometry.is_empty)]


def _moved(table: geopandas.GeoDataFrame, like: geopandas.GeoDataFrame, path: Path) -> geopandas.GeoDataFrame:
    """The table in the coordinate system of another one."""
    try:
        return table.to_crs(like.crs)
    except (RuntimeError, ValueError) as error:  # pyproj's errors are RuntimeErrors
        raise InputError(
            f"{path} has a coordinate system that cannot be brought to that of the other file ({first_line(error)}); "
            "write the right one into it."
        ) from error


def _inside(table: geopandas.GeoDataFrame, area: Path) -> geopandas.GeoDataFrame:
    """The rows with a point in an area, compared in its system: it may reach beyond what the table's can hold."""
    shapes = _placed(area)
    ground = shapely.union_all(single_polygons(shapes).geometry.to_numpy())
    shapely.prepare(ground)
    points = geopandas.GeoSeries(shapely.point_on_surface(table.geometry.to_numpy()), crs=table.crs).to_crs(shapes.crs)
    turn = turn_of(shapes.crs.to_wkt()) or 0.0
    x, y = points.x.to_numpy(), points.y.to_numpy()
    return table[np.logical_or.reduce([shapely.contains_xy(ground, x + times * turn, y) for times in (-1, 0, 1)])]


def _confidence(claims: geopandas.GeoDataFrame, column: str, path: Path) -> NDArray[np.float64]:
    if column not in claims.columns:
        if column != FootprintOptions.confidence and len(claims):
            named = ", ".join(claims.columns.drop(claims.geometry.name))
            raise InputError(f"{path} has no column {column}; name one of {named}.")
        return np.ones(len(claims))
    values = pd.to_numeric(claims[column], errors="coerce")
    return np.asarray(values.fillna(0.0), float)


def _detections(matching: Matching, confidence: NDArray[np.float64]) -> Detections:
    order = [float(confidence[index]) for index in matching.predictions]
    return detections(order, matching.candidates, len(matching.truths))


def _areas(outlines: NDArray[np.object_], targets: NDArray[np.object_]) -> tuple[float, float]:
    """Shared and united ground; each side may overlap itself."""
    claimed, true = (shapely.union_all(side) if len(side) else shapely.Polygon() for side in (outlines, targets))
    shared = float(shapely.intersection(claimed, true).area)
    return shared, float(claimed.area + true.area - shared)
