"""How probabilities are stored: in 8 bits or as they are."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from overcast.choices import Encoding

SCALE = 1 / 254
"""Probability per step of the 8-bit encoding; it is also the scale of the band, so GIS programs apply it."""
NODATA_CODE = 255


def encode(probability: NDArray[np.generic], encoding: Encoding) -> NDArray[np.generic]:
    """Probabilities (NaN = no data) as they are stored.

    >>> encode(np.array([0.0, 0.5, 1.0, np.nan], np.float32), Encoding.UINT8)
    array([  0, 127, 254, 255], dtype=uint8)
    """
    values = probability.astype(np.float32, copy=False)
    match encoding:
        case Encoding.FLOAT32:
            return values
        case Encoding.UINT8:
            codes = np.clip(values, 0, 1) * np.float32(254) + np.float32(0.5)
            return np.where(np.isnan(values), np.float32(NODATA_CODE), codes).astype(np.uint8)
        case never:
            assert_never(never)


def decode(stored: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probability, 0 where there is no data, and validity; encoded again they give what was stored.

    >>> decode(np.array([0, 127, 255], np.uint8))
    (array([0. , 0.5, 0. ], dtype=float32), array([ True,  True, False]))
    """
    if stored.dtype == np.uint8:
        return _DECODED[stored], np.asarray(stored != NODATA_CODE)
    values = stored.astype(np.float32, copy=False)
    valid = ~np.isnan(values)
    return np.where(valid, values, np.float32(0)), valid


_DECODED = np.append(np.arange(255, dtype=np.float32) / np.float32(254), np.float32(0))
"""Probability of each 8-bit code."""
