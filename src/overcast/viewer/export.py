"""The map as one HTML file, to send by e-mail: pictures, footprints and the program are all inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.outputs.staging import staged
from overcast.raster.degrees import DEGREES
from overcast.raster.radiometry import SensorRadiometry
from overcast.viewer.app import page_files
from overcast.viewer.differences import NEVER_MISSED, SMALL, compare, thousandths
from overcast.viewer.mercator import Bounds, transformed
from overcast.viewer.scene_map import COLOUR, MapFiles, Picture, SceneMap
from overcast.viewer.shapes import Shapes, Thinning
from overcast.viewer.vector_tiles import RowValues

PICTURE_PX = 2048
"""Longer side of a picture."""
MOST_SHAPES = 50_000
"""Largest number of shapes of a layer; of more, the surest of each of about as many cells of the ground are kept."""
DECIMALS = 7
"""Decimals of degrees: a centimetre."""
_MODULES = ("layers.js", "measure.js", "panel.js", "state.js", "swipe.js", "app.js", "exported.js")
"""In an order in which each only needs those before it."""


@dataclass(frozen=True)
class MapPage:
    """A map as HTML, which notebooks show."""

    html: str = field(repr=False)
    height_px: int = 560
    """Height of the frame in a notebook."""

    @classmethod
    def of(cls, files: MapFiles, *, title: str | None = None, sensor: SensorRadiometry | None = None) -> Self:
        """The map of some files; see `map_page`, raises as `export_map`."""
        return cls(map_page(files, title=title, sensor=sensor))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the HTML file and return its path. Raises InputError where it exists."""
        return _published(Path(path), self.html, overwrite=overwrite)

    def _repr_html_(self) -> str:
        style = f"width: 100%; height: {self.height_px}px; border: 0"
        return f'<iframe srcdoc="{html.escape(self.html)}" style="{style}" title="map"></iframe>'


def export_map(target: Path, files: MapFiles, *, title: str | None = None, overwrite: bool = False) -> Path:
    """Write a map that needs neither server nor network, and holds no path of this machine.

    The probability is left out: its tiles need a server.

    Args:
        target: HTML file.
        files: What is shown.
        title: Of the page; the name of the first file by default.
        overwrite: Replace a file that exists.

    Raises:
        InputError: A file cannot be shown, or `target` does not end in .html or exists.
    """
    _require_free(target, overwrite=overwrite)
    return _published(target, map_page(files, title=title), overwrite=overwrite)


def map_page(
    files: MapFiles,
    *,
    title: str | None = None,
    within: Bounds | None = None,
    sensor: SensorRadiometry | None = None,
) -> str:
    """The text of the HTML file; raises as `export_map`.

    Args:
        files: What is shown.
        title: Of the page; the name of the first file by default.
        within: West, south, east, north in degrees: pictures show this part of their ground; None: all of it.
        sensor: What the numbers of the scene mean; None: what its file declares.
    """
    kept = MapFiles(files.footprints, files.scene, None, files.optical, files.reference)
    name = title or next((path.name for path in kept.given.values()), "map")
    shown = SceneMap(name, kept, virtual=True, sensor=sensor)
    try:
        return _page(name, _data(shown, within))
    finally:
        shown.close()


def require_html(target: Path) -> None:
    """Raise InputError for a file that is not called HTML."""
    if target.suffix.lower() not in {".html", ".htm"}:
        raise InputError(f"{target} does not end in .html, as a map to send does; rename it.")


def _require_free(target: Path, *, overwrite: bool) -> None:
    require_html(target)
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists already; write elsewhere, or replace it with --overwrite.")


def _published(target: Path, page: str, *, overwrite: bool) -> Path:
    _require_free(target, overwrite=overwrite)
    with staged((target,), overwrite=overwrite) as staging:
        staging.path(target).write_text(page, encoding="utf-8")
        staging.publish()
    return target


def _data(shown: SceneMap, within: Bounds | None) -> dict[str, Any]:
    info, columns, curve = shown.info(), dict[str, tuple[str, RowValues]](), None
    if shown.compares:
        predicted, reference = shown.shapes["footprints"], shown.shapes["reference"]
        found = compare(predicted.path, reference.path)
        columns["footprints"] = "m", RowValues(predicted.ids(), found.states, SMALL)
        columns["reference"] = "f", RowValues(reference.ids(), found.found, NEVER_MISSED)
        curve = [{**vars(one), "f1": one.f1} for one in found.curve]
    pictures, shapes, facts = {}, {}, {}
    for layer, picture in shown.pictures.items():
        part = common(picture.raster.bounds, within)
        if part is None:  # an orthophoto beside the part
            del info["layers"][layer]
            continue
        pictures[layer] = _picture(picture, part)
        about = info["layers"][layer]
        about["bands"] = about["bands"] if layer == "optical" else about["bands"][:1]
    for layer, polygons in shown.shapes.items():
        shapes[layer], facts[layer] = _collection(polygons, columns.get(layer))
    return {"info": info, "curve": curve, "pictures": pictures, "shapes": shapes, "facts": facts}


def common(bounds: Bounds, within: Bounds | None) -> Bounds | None:
    """What two boxes share; None where they do not meet.

    >>> common((0, 0, 4, 4), (1, 2, 9, 9)), common((0, 0, 1, 1), (2, 2, 3, 3)), common((0, 0, 1, 1), None)
    ((1, 2, 4, 4), None, (0, 0, 1, 1))
    """
    if within is None:
        return bounds
    west, south = (max(bounds[side], within[side]) for side in (0, 1))
    east, north = (min(bounds[side], within[side]) for side in (2, 3))
    return (west, south, east, north) if west < east and south < north else None


def _picture(picture: Picture, part: Bounds) -> dict[str, Any]:
    """A quick-look of a part, in degrees, on its box of Web Mercator, which lies straight on the map."""
    west, south, east, north = part
    corners = np.array([[west, north], [east, north], [east, south], [west, south]])
    mercator = transformed(DEGREES, "EPSG:3857", corners)
    bounds: Bounds = (*mercator.min(axis=0).tolist(), *mercator.max(axis=0).tolist())
    width, height = bounds[2] - bounds[0], bounds[3] - bounds[1]
    scale = min(PICTURE_PX, _pixels(picture, part)) / max(width, height)
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    chosen = picture.choice(COLOUR if len(picture.bands) >= 3 and picture.unit is None else 1)
    values = picture.raster.view(bounds, [picture.bands[one] for one in chosen], shape, whole=True)
    if values is None:
        raise InputError(f"{picture.raster.path} covers no ground; check its transform.")
    content, kind = picture.render(values, chosen, small=True)
    return {"url": f"data:{kind};base64,{base64.b64encode(content).decode()}", "coordinates": corners.tolist()}


def _pixels(picture: Picture, part: Bounds) -> float:
    """About the number of pixels of the file along the longer side of a part of it."""
    west, south, east, north = picture.raster.bounds
    share = max((part[2] - part[0]) / (east - west), (part[3] - part[1]) / (north - south))
    return max(1.0, share * max(picture.raster.grid.height, picture.raster.grid.width))


def _collection(
    shapes: Shapes, column: tuple[str, RowValues] | None
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """GeoJSON in degrees, and the attributes of each polygon by its id."""
    bounds = shapes.bounds
    if bounds is None:
        return {"type": "FeatureCollection", "features": []}, {}
    area = max((bounds[2] - bounds[0]) * (bounds[3] - bounds[1]), 1e-12)
    portion = shapes.within(bounds, Thinning((area / MOST_SHAPES) ** 0.5, MOST_SHAPES))
    geometry = _in_degrees(portion.geometry, shapes.crs)
    values = {"c": thousandths(portion.confidence)}
    if column is not None:
        values[column[0]] = column[1].of(portion.id)
    columns = [column.tolist() for column in values.values()]
    features = [
        {
            "type": "Feature",
            "id": number,
            "geometry": json.loads(text),
            "properties": dict(zip(values, row, strict=True)),
        }
        for number, text, *row in zip(portion.id.tolist(), shapely.to_geojson(geometry), *columns, strict=True)
    ]
    facts = {number: shapes.attributes(number) or {} for number in portion.id.tolist()}
    return {"type": "FeatureCollection", "features": features}, facts


def _in_degrees(geometry: NDArray[np.object_], crs: str) -> NDArray[np.object_]:
    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.round(transformed(crs, DEGREES, xy), DECIMALS)

    return np.asarray(shapely.transform(shapely.force_2d(geometry), move), object)


def _page(title: str, data: Mapping[str, Any]) -> str:
    files = {name: content.decode() for name, content in page_files().items() if not name.endswith(".txt")}
    body = files["index.html"].partition("<!--body-->")[2].partition("<!--/body-->")[0]
    boot = files["exported-boot.js"]
    packed = {
        "maplibre": _packed(files["maplibre/maplibre-gl.mjs"]),
        "worker": _packed(files["maplibre/maplibre-gl-worker.mjs"]),
        "page": _packed("\n".join(_joined(files[name]) for name in _MODULES) + "\nexport {startPage, exportedSource};"),
        "data": _packed(json.dumps(data, separators=(",", ":"), allow_nan=False)),
    }
    digest = base64.b64encode(hashlib.sha256(boot.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; worker-src blob: data:; style-src 'unsafe-inline'; "
        "img-src data: blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    licence = page_files()["maplibre/LICENSE.txt"].decode().replace("--", "- -")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<!-- The map is drawn by MapLibre GL JS, which is inside.\n{licence}\n-->\n"
        f"<style>{files['maplibre/maplibre-gl.css']}\n{files['style.css']}</style>\n</head>\n<body>{body}"
        f'<script type="application/json" id="overcast-packed">{json.dumps(packed)}</script>\n'
        f'<script type="module">{boot}</script>\n</body>\n</html>\n'
    )


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _joined(module: str) -> str:
    """A module of the page as a part of a larger one."""
    return re.sub(r"^export ", "", re.sub(r"^import .* from .*;\n", "", module, flags=re.MULTILINE), flags=re.MULTILINE)
