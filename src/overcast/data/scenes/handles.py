"""Open raster files, bounded in number and one set for each thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import RasterioSource

LARGEST_COUNT = 24
"""Images that one thread holds open."""


@dataclass(frozen=True)
class Image:
    """Files on one grid whose stacked bands are the declared ones."""

    paths: tuple[Path, ...]
    sensor: SensorRadiometry

    def open(self) -> RasterioSource:
        """The open image of this thread, for reading at once: it may be closed when further ones are opened.

        Raises InputError where a file is missing, damaged or of another number of bands.
        """
        return _POOL.get(self)


@dataclass
class _Pool(threading.local):
    """Least recently used images are closed; a thread that ends closes its own."""

    images: OrderedDict[Any, RasterioSource] = field(default_factory=OrderedDict)

    def get(self, image: Image) -> RasterioSource:
        """The image, open."""
        key = (image.paths, image.sensor.model_dump_json())
        if key not in self.images:
            while len(self.images) >= LARGEST_COUNT:
                self.images.popitem(last=False)[1].close()
            self.images[key] = RasterioSource.open(image.paths, image.sensor)
        self.images.move_to_end(key)
        return self.images[key]


_POOL = _Pool()
