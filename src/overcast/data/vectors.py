"""Vector files of any kind: which layer holds the shapes."""

from __future__ import annotations

from pathlib import Path

import pyogrio

from overcast.errors import InputError


def geometry_layer(path: Path) -> str | None:
    """The one layer with geometry; tables without it, such as the styles of QGIS, do not count.

    None where no layer declares any, as in an empty GeoJSON. Raises InputError where several do, and what pyogrio
    raises for a file that cannot be read.
    """
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(names) > 1:
        raise InputError(f"{path} has {len(names)} layers of shapes ({', '.join(names)}): give a file with one.")
    return names[0] if names else None
