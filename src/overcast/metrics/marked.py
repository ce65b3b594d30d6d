"""Footprints of a comparison as a file: which were found, which were missed, and which are not in the reference."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd

from overcast.atomic import replacing
from overcast.errors import InputError
from overcast.metrics.footprints import MatchedFiles

MATCHED, MISSED, INVENTED = "matched", "missed", "invented"
ENDINGS = (".gpkg", ".parquet", ".geojson")


def marked(files: MatchedFiles) -> geopandas.GeoDataFrame:
    """Predictions that count, `matched` or `invented`, then reference footprints that were `missed`.

    Columns: `result`; `confidence` of predictions and `iou` of matched ones, NaN elsewhere; `geometry` in metres.
    """
    matching, claims, truth = files.matching, files.claims, files.truth
    iou = {match.prediction: match.iou for match in matching.matches}
    counted = sorted(matching.predictions)
    missed = sorted(set(matching.truths) - {match.truth for match in matching.matches})
    columns = {
        "result": [MATCHED if index in iou else INVENTED for index in counted] + [MISSED] * len(missed),
        "confidence": np.r_[files.confidence[counted], np.full(len(missed), np.nan)],
        "iou": [iou.get(index, np.nan) for index in counted] + [np.nan] * len(missed),
    }
    outlines = [*claims.geometry.to_numpy()[counted], *truth.geometry.to_numpy()[missed]]
    return geopandas.GeoDataFrame(pd.DataFrame(columns), geometry=outlines, crs=truth.crs)


def require_free(path: Path, *, overwrite: bool) -> None:
    """Raise InputError where `write_marked` could not write."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path} ends in none of {', '.join(ENDINGS)}; rename the output.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; create it, or write elsewhere.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another name, or replace it with --overwrite.")


def write_marked(files: MatchedFiles, path: Path) -> None:
    """Write `marked` footprints; GeoPackage has a layer for each result. The file appears whole or not at all."""
    table = marked(files)
    with replacing(path) as beside:
        match path.suffix.lower():
            case ".parquet":
                table.to_parquet(beside)
            case ".geojson":
                table.to_crs("EPSG:4326").to_file(beside, layer=path.stem, driver="GeoJSON", engine="pyogrio")
            case _:
                for result in (MATCHED, MISSED, INVENTED):
                    part = table[table["result"] == result]
                    part.to_file(beside, layer=result, driver="GPKG", engine="pyogrio", geometry_type="Polygon")
