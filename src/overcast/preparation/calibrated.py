"""What metadata say of values and bands: factors of calibration, polarisations."""

from __future__ import annotations

from collections.abc import Sequence

from overcast.preparation.metadata import Document
from overcast.preparation.positions import at
from overcast.products.product import POLARISATIONS

_FACTOR = "calibrationfactor"
_POLARISATION = frozenset(
    {
        *("polarization", "polarisation", "polarizations", "polarisations", "sarpolarizations", "polarisationmode"),
        *("polarizationmode", "polarlayer", "mds1txrxpolar", "transmitterreceiverpolarisation"),
    }
)


def scale_factor(found: Sequence[Document]) -> tuple[float, str] | None:
    """What stored values are multiplied by to give amplitudes, and the document that says it.

    Capella's `collect.image.scale_factor` is that; ICEYE's `calibration_factor` is its square.
    """
    for one in found:
        value = at(one.content, "collect", "image", "scale_factor")
        if isinstance(value, int | float) and 0 < value < 1e12:
            return float(value), one.name
        iceye = any("iceye" in text.lower() for _, text in one.fields)
        for text in (text for name, text in one.fields if name == _FACTOR and iceye):
            factor = _number(text)
            if 0 < factor < 1e12:
                return factor**0.5, one.name
    return None


def polarisation_in(found: Sequence[Document]) -> str | None:
    """The one polarisation that documents name; None where they name none or several."""
    said = {text.strip().upper() for one in found for name, text in one.fields if name in _POLARISATION}
    return said.pop() if len(said) == 1 and said.issubset(POLARISATIONS) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
