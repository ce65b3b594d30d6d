"""A small scene with all layers of a map, and servers on loopback for the tests of the viewer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import uvicorn
from fastapi import FastAPI
from raster_files import NORTH_UP, UTM, write_tiff

from overcast.viewer.run import listen
from overcast.viewer.scene_map import MapFiles

SIDE = 300
LEFT, TOP = NORTH_UP.c, NORTH_UP.f


def square(column: int, row: int, side: float = 12.0) -> shapely.Polygon:
    """A square of a grid of 20 m over the scene of 150 m."""
    west, north = LEFT + 5 + 20 * column, TOP - 5 - 20 * row
    return shapely.box(west, north - side, west + side, north)


def footprints_table() -> geopandas.GeoDataFrame:
    """36 squares whose confidence rises from 0.5 by 0.01."""
    places = [(column, row) for row in range(6) for column in range(6)]
    confidence = [(50 + index) / 100 for index in range(36)]
    facts = {
        "id": range(100, 136),
        "class": "building",
        "area_m2": 144.0,
        "confidence": confidence,
        "model": "a <b> & c",
    }
    return geopandas.GeoDataFrame(facts, geometry=[square(*place) for place in places], crs=UTM)


def reference_table() -> geopandas.GeoDataFrame:
    """The upper half of the footprints, and 7 squares of the last row that were missed."""
    places = [(column, row) for row in range(3) for column in range(6)] + [(column, 6) for column in range(7)]
    return geopandas.GeoDataFrame(
        {"name": ["osm"] * len(places)}, geometry=[square(*place) for place in places], crs=UTM
    )


def write_layers(folder: Path) -> MapFiles:
    """Scene of two bands in dB with a corner without data, orthophoto, probability, footprints and reference."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    radar = rng.normal([[[20.0]], [[12.0]]], 4.0, (2, SIDE, SIDE)).astype(np.float32)
    radar[:, :40, :40] = np.nan
    photo = rng.integers(40, 200, (3, SIDE, SIDE), np.uint8)
    probability = np.tile(np.linspace(0, 254, SIDE).astype(np.uint8), (SIDE, 1))
    probability[-20:] = 255
    write_tiff(folder / "scene.tif", radar)
    (folder / "scene.yaml").write_text("{bands: [HH, HV], unit: dB}", encoding="utf-8")
    write_tiff(folder / "ortho.tif", photo)
    write_tiff(folder / "probability.tif", probability, nodata=255)
    footprints_table().to_file(folder / "footprints.gpkg", engine="pyogrio")
    reference_table().to_file(folder / "reference.gpkg", engine="pyogrio")
    return MapFiles(
        folder / "footprints.gpkg",
        folder / "scene.tif",
        folder / "probability.tif",
        folder / "ortho.tif",
        folder / "reference.gpkg",
    )


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Asks a server on loopback exactly what it is told to: no address is tidied up on the way."""

    port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextmanager
def running(app: FastAPI) -> Iterator[Client]:
    """The application on a free port, in a thread."""
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: server.run(sockets=[bound]), daemon=True)
    thread.start()
    try:
        yield Client(bound.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        bound.close()
