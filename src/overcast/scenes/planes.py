"""Several maps of a scene at once: each goes to a sink of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overcast.raster.grid import Window
from overcast.raster.sources import RasterSink


class PlaneSinks:
    """A RasterSink that shares (M, h, w) out to M sinks, in order; (h, w) goes to the one there is."""

    def __init__(self, sinks: Sequence[RasterSink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (h, w), or (M, h, w) values of M maps, at a window that lies inside the grid."""
        planes = values.reshape(-1, *values.shape[-2:])
        for sink, plane in zip(self._sinks, planes, strict=True):
            sink.write(window, plane)
