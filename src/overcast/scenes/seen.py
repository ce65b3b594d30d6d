"""How much of a scene an optical image shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.raster.grid import Window
from overcast.raster.sources import RasterSink


class SeenShare:
    """Counts while the map that says where the image shows the ground is written."""

    def __init__(self) -> None:
        self._shown = self._known = 0

    @property
    def share(self) -> float:
        """Share of the pixels with data; 0 where there are none."""
        return self._shown / self._known if self._known else 0.0

    def counting(self, sink: RasterSink) -> RasterSink:
        """A sink that counts what is written to `sink`: 1 where the image shows a pixel, 0 where not.

        Where tiles overlap their weights add up to 1 but for the last bit.
        """
        return _Counting(self, sink)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count (h, w) of 1, 0 and NaN, which is no data."""
        self._shown += int(np.count_nonzero(values == 1))
        self._known += int(np.count_nonzero(np.isfinite(values)))


class _Counting:
    def __init__(self, share: SeenShare, sink: RasterSink) -> None:
        self._share, self._sink = share, sink

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        shares = values.astype(np.float32)
        exact = np.where(np.isfinite(shares), np.rint(shares), shares)
        self._share.add(exact)
        self._sink.write(window, exact)
