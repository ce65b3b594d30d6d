"""A server that falls silent: GDAL's time limits end the wait, and one sentence says why."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from prepare_miniatures import NORTH_UP, UTM31
from range_server import Ranges
from raster_files import write_tiff

from overcast.errors import InputError
from overcast.raster import opening
from overcast.raster.addresses import located
from overcast.raster.files import open_raster
from overcast.raster.grid import Window
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.raster.sources import RasterioSource

SENSOR = SensorRadiometry(bands=("HH",), unit=Unit.DECIBEL, gsd_m=1.0)
SIDE = 1024


class Silent(Ranges):
    """Answers as any server until it is told to be silent: then it sends a part of each answer and no more."""

    silent = threading.Event()
    ended = threading.Event()

    def do_GET(self, *, body: bool = True) -> None:  # noqa: N802  # the name that its base gives it
        if not (self.silent.is_set() and body):
            super().do_GET(body=body)
            return
        self.send_response(206)
        self.send_header("Content-Length", "1000000")
        self.send_header("Content-Range", "bytes 0-999999/4000000")
        self.end_headers()
        self.wfile.write(b"\0" * 10)
        self.wfile.flush()
        self.ended.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of an image of several MB, so that its end is not fetched with its header."""
    values = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype("float32")
    write_tiff(
        tmp_path / "scene.tif", values, transform=NORTH_UP, crs=UTM31, tiled=True, blockxsize=256, blockysize=256
    )
    Silent.root = tmp_path
    Silent.silent.clear()
    Silent.ended.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as serving:
        serving.daemon_threads = True
        serving.block_on_close = False
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/scene.tif"
        Silent.ended.set()
        serving.shutdown()


IMPATIENT = {
    "GDAL_HTTP_CONNECTTIMEOUT": "2",
    "GDAL_HTTP_LOW_SPEED_TIME": "1",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_TIMEOUT": "2",
}


def test_the_limits_of_the_package_hold_while_pixels_are_read(server, monkeypatch):
    for name in opening.NETWORK_LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(opening, "NETWORK_LIMITS", IMPATIENT)
    with RasterioSource.open([located(server)], SENSOR) as source:
        Silent.silent.set()
        with pytest.raises(InputError, match=r"scene\.tif cannot be read as an image .*check the address") as caught:
            source.read(Window(SIDE // 2, SIDE // 2, 64, 64))
    assert "\n" not in str(caught.value)


def test_limits_of_the_environment_count_instead(server, monkeypatch):
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    Silent.silent.set()
    with pytest.raises(InputError, match="cannot be read as an image"), open_raster(located(server)):
        pass
