"""A picture of a place of scenes: parts of the SAR and of the optical image, footprints drawn on both."""

from __future__ import annotations

import numpy as np

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.scenes.offsets import compared_windows
from overcast.data.scenes.place import Place
from overcast.evaluation.panels import Captioned, Picture, SheetStyle, composite, contact_sheet, hatch, overlay_outlines
from overcast.raster.grid import Window

MOST_ROWS = 4
OUTLINE = (255, 214, 10)
"""Colour of outlines: seen on dark and on light ground."""


def place_picture(place: Place) -> bytes:
    """PNG: parts of a place, one in each row: the SAR image, footprints on it, and footprints on the optical image.

    Ground without data, or outside of the labelled area where footprints are drawn, is hatched.
    """
    windows = compared_windows(place)
    chosen = windows[:: max(1, len(windows) // MOST_ROWS)][:MOST_ROWS]
    return contact_sheet([_row(place, window) for window in chosen], SheetStyle(tile_px=480))


def _row(place: Place, window: Window) -> list[Captioned]:
    arrays = place.read(window, frozenset(Modality))
    size = (window.height, window.width)
    radar = hatch(*size) if arrays.sar is None else composite(arrays.sar.values, arrays.sar.valid)
    photo = hatch(*size) if arrays.optical is None else composite(arrays.optical.values, arrays.optical.valid)
    where = f"row {window.row}, column {window.col}"
    return [
        Captioned(radar, f"SAR, {where}"),
        Captioned(_drawn(radar, place, window), "footprints on SAR"),
        Captioned(_drawn(photo, place, window), "footprints on optical"),
    ]


def _drawn(picture: Picture, place: Place, window: Window) -> Picture:
    """Outlines of footprints, and hatched where nobody knows them; the picture itself in a place without labels."""
    if place.footprints is None:
        return picture
    label = place.label(window)
    unknown = label == IGNORE_LABEL
    shown = overlay_outlines(picture, label == 1, OUTLINE)
    stripes = unknown & (hatch(*label.shape)[..., 0] > 160)
    return np.where(stripes[..., None], np.uint8(150), shown).astype(np.uint8)
