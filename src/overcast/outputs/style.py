"""How QGIS draws footprints: coloured by confidence, as a .qml file and as the default style inside a GeoPackage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from overcast.outputs.clock import fixed_now, precise_text
from overcast.outputs.writable import writing

CLASSES = (
    (0.0, 0.6, "#fde725"),
    (0.6, 0.7, "#7ad151"),
    (0.7, 0.8, "#22a884"),
    (0.8, 0.9, "#2a788e"),
    (0.9, 1.0, "#414487"),
)
"""Confidence from, to, and colour: light to dark, distinguishable with every kind of colour vision (viridis)."""
STYLE_NAME = "confidence"

_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))
"""
_REGISTER = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, last_change)
VALUES ('layer_styles', 'attributes', 'layer_styles', 'styles of QGIS', ?)
"""
_INSERT = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
  styleSLD, useAsDefault, description, owner, update_time) VALUES ('', '', ?, 'geometry', ?, ?, '', 1, ?, '', ?)
"""


def write_style(path: Path) -> None:
    """Write the style as a .qml file, which QGIS loads with the layer of the same name beside it."""
    with writing(path):
        path.write_text(qml(), encoding="utf-8")


def store_style(path: Path, layer: str) -> None:
    """Make the style the default of a layer of a GeoPackage, in the table that QGIS keeps for it. Raises OSError."""
    made = precise_text(fixed_now() or datetime.now(UTC))
    try:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(_TABLE)
            database.execute(_REGISTER, (made,))
            database.execute(_INSERT, (layer, STYLE_NAME, qml(), "footprints by confidence", made))
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def qml() -> str:
    """The style: footprints half transparent, coloured by `confidence`."""
    root = Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = SubElement(
        root,
        "renderer-v2",
        type="graduatedSymbol",
        attr="confidence",
        graduatedMethod="GraduatedColor",
        symbollevels="0",
    )
    ranges, symbols = SubElement(renderer, "ranges"), SubElement(renderer, "symbols")
    for number, (lower, upper, colour) in enumerate(CLASSES):
        label = f"{lower:g} to {upper:g}" if lower else f"below {upper:g}"
        limits = {"lower": f"{lower:.15f}", "upper": f"{upper:.15f}"}
        SubElement(ranges, "range", limits, symbol=str(number), label=label, render="true")
        symbol = SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1")
        layer = SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1", locked="0")
        settings = {
            "color": _rgba(colour, 128),
            "outline_color": _rgba(colour, 255),
            "outline_style": "solid",
            "outline_width": "0.3",
            "outline_width_unit": "MM",
            "style": "solid",
        }
        options = SubElement(layer, "Option", type="Map")
        for name, value in settings.items():
            SubElement(options, "Option", type="QString", name=name, value=value)
            SubElement(layer, "prop", k=name, v=value)  # what QGIS before 3.26 reads
    SubElement(root, "layerGeometryType").text = "2"
    indent(root)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + tostring(root, encoding="unicode") + "\n"


def _rgba(colour: str, alpha: int) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"{red},{green},{blue},{alpha}"
