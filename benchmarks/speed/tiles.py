"""Load on the server of the map: 50 clients pan over a large scene.

`python -m benchmarks.speed.tiles --data FOLDER` makes a scene of 20 000 x 20 000 pixels with 200 000 footprints, and
prints how long tiles took and what memory the server needed. All traffic is on loopback. The data (about 1.5 GB) stay
in the folder for the next run; remove it afterwards.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from benchmarks.limits import at_least, positive
from rasterio.windows import Window

from overcast.evaluation.machine import describe_machine
from overcast.outputs.cog import write_cog

SIDE, FOOTPRINTS = 20_000, 200_000
LEFT, TOP, UTM = 590_000.0, 5_750_000.0, "EPSG:32631"
SCREEN = 1200, 800
ZOOMS = (13, 14, 15, 16, 17, 18)


def write_scene(path: Path) -> None:
    """Speckle in dB, one band, as COG; written in strips."""
    plain, rng = path.with_suffix(".plain.tif"), np.random.default_rng(0)
    grid = {"crs": UTM, "transform": Affine(0.5, 0, LEFT, 0, -0.5, TOP)}
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "YES"}
    with rasterio.open(
        plain, "w", driver="GTiff", height=SIDE, width=SIDE, count=1, dtype="float32", **grid, **tiled
    ) as dataset:
        for row in range(0, SIDE, 512):
            height = min(512, SIDE - row)
            speckle = 10 * np.log10(rng.gamma(4, 0.25, (height, SIDE)).astype(np.float32)) + 15
            dataset.write(np.round(speckle, 1), 1, window=Window(0, row, SIDE, height))
    write_cog(plain, path)
    plain.unlink()


def write_footprints(path: Path) -> None:
    """Rectangles on a jittered grid, with a confidence."""
    rng, side = np.random.default_rng(1), math.ceil(FOOTPRINTS**0.5)
    cell = SIDE * 0.5 / side
    column, row = np.divmod(np.arange(FOOTPRINTS), side)
    x = LEFT + (column + rng.uniform(0.1, 0.4, FOOTPRINTS)) * cell
    y = TOP - (row + rng.uniform(0.6, 0.9, FOOTPRINTS)) * cell
    boxes = shapely.box(x, y, x + rng.uniform(6, 12, FOOTPRINTS), y + rng.uniform(6, 12, FOOTPRINTS))
    confidence = rng.uniform(0.5, 1, FOOTPRINTS)
    pyogrio.raw.write(
        path, shapely.to_wkb(boxes), [np.arange(FOOTPRINTS), confidence], ["id", "confidence"], crs=UTM,
        driver="GPKG", geometry_type="Polygon",
    )  # fmt: skip


def tiles_of(longitude: float, latitude: float, zoom: int) -> list[tuple[int, int, int]]:
    """The tiles of 512 pixels that a screen at a place needs."""
    scale = 2**zoom
    x = (longitude + 180) / 360 * scale
    y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * scale
    wide, high = (side / 512 / 2 for side in SCREEN)
    columns = range(math.floor(x - wide), math.floor(x + wide) + 1)
    return [(zoom, column, row) for column in columns for row in range(math.floor(y - high), math.floor(y + high) + 1)]


class Client(threading.Thread):
    """Someone who looks at the map: moves or zooms, waits for the tiles, looks for a while."""

    def __init__(self, port: int, number: int, bounds: list[float], until: float, think_s: float) -> None:
        super().__init__(daemon=True)
        self.port, self.bounds, self.until, self.think_s = port, bounds, until, think_s
        self.random = random.Random(number)  # noqa: S311
        self.took: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[int] = []
        self.seen: set[tuple[str, tuple[int, int, int]]] = set()

    def run(self) -> None:
        """Look around until the time is up."""
        west, south, east, north = self.bounds
        x, y, zoom = self.random.uniform(west, east), self.random.uniform(south, north), 14
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        time.sleep(self.random.uniform(0, self.think_s))
        while time.monotonic() < self.until:
            for kind, path in (("radar", "pictures/scene"), ("vector", "shapes/footprints")):
                for tile in tiles_of(x, y, zoom):
                    self.fetch(connection, kind, path, tile)
            if self.random.random() < 0.2:
                zoom = min(max(zoom + self.random.choice((-1, 1)), ZOOMS[0]), ZOOMS[-1])
            step = 360 / 2**zoom * self.random.uniform(0.5, 1.5)
            turn = self.random.uniform(0, 2 * math.pi)
            x = min(max(x + step * math.cos(turn), west), east)
            y = min(max(y + step * math.sin(turn) * 0.6, south), north)
            time.sleep(self.think_s * self.random.uniform(0.5, 1.5))

    def fetch(self, connection: http.client.HTTPConnection, kind: str, path: str, tile: tuple[int, int, int]) -> None:
        """Ask for a tile that this client has not seen yet."""
        if (kind, tile) in self.seen:  # the browser has it
            return
        self.seen.add((kind, tile))
        begun = time.perf_counter()
        connection.request("GET", f"/maps/scene/{path}/{tile[0]}/{tile[1]}/{tile[2]}")
        answer = connection.getresponse()
        answer.read()
        self.took[kind].append(time.perf_counter() - begun)
        if answer.status not in {200, 204}:
            self.wrong.append(answer.status)


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process: now, and the most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(facts["VmRSS"]) / 1024, int(facts["VmHWM"]) / 1024


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_paint_s(address: str) -> float | None:
    """Seconds from the request of the page to its first contentful paint; None without a browser."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
    from browser_cases import CHROMIUM, browser, watched

    if CHROMIUM is None:
        return None
    with browser() as opened, watched(opened, *SCREEN) as seen:
        seen.page.goto(address)
        script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        return float(seen.wait(script)) / 1000


def main() -> None:
    """Make what is missing, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clients", type=at_least(1), default=50)
    parser.add_argument("--seconds", type=positive, default=60)
    parser.add_argument("--think", type=positive, default=2.0, help="seconds that a client looks before it moves on")
    chosen = parser.parse_args()
    chosen.data.mkdir(parents=True, exist_ok=True)
    scene, footprints = chosen.data / "scene.tif", chosen.data / "footprints.gpkg"
    if not scene.exists():
        write_scene(scene)
    if not footprints.exists():
        write_footprints(footprints)
    command = [sys.executable, "-m", "overcast", "view", str(footprints), "--scene", str(scene), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            report(server, chosen)
        finally:
            server.terminate()


def report(server: subprocess.Popen[str], chosen: argparse.Namespace) -> None:
    """Ask a server and print what it took."""
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    port = int(address.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/maps/scene")
    bounds = json.loads(connection.getresponse().read())["bounds"]
    paint = first_paint_s(address)
    before = cpu_s(server.pid)
    until = time.monotonic() + chosen.seconds
    clients = [Client(port, number, bounds, until, chosen.think) for number in range(chosen.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(chosen.seconds + 150)
    now, most = memory_mb(server.pid)
    busy = cpu_s(server.pid) - before
    print(f"{date.today()}; {describe_machine()}; load {os.getloadavg()[0]:.1f}")
    print(f"{SIDE} x {SIDE} pixels, {FOOTPRINTS} footprints, {chosen.clients} clients for {chosen.seconds:g} s")
    for kind in ("radar", "vector"):
        took = np.sort(np.concatenate([client.took[kind] for client in clients])) * 1000
        middle, late = np.percentile(took, [50, 95])
        print(f"{kind:7s} {took.size:6d} tiles  median {middle:6.1f} ms  p95 {late:6.1f} ms  worst {took[-1]:6.1f} ms")
    tiles = sum(len(took) for client in clients for took in client.took.values())
    print(f"processor time of the server: {1000 * busy / tiles:.1f} ms a tile")
    print(f"wrong answers: {sum(len(client.wrong) for client in clients)}")
    print(f"server memory: {now:.0f} MB, at most {most:.0f} MB")
    print(f"first paint: {'no browser' if paint is None else f'{paint:.2f} s'}")


if __name__ == "__main__":
    main()
