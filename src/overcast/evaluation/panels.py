"""Arrays to pictures: composites, probability and error maps, outlines, contact sheets.

All colours stay apart for colour-blind readers (blue, orange, white and black of the Okabe-Ito set; cividis for
probability). Pixels without data are hatched grey, so that they are never taken for dark ground.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from overcast.batch import IGNORE_LABEL
from overcast.errors import InputError

RGB = tuple[int, int, int]
Picture = NDArray[np.uint8]
"""(H, W, 3) red, green, blue."""

RIGHT: RGB = (242, 242, 238)
"""True positive."""
FALSE_ALARM: RGB = (230, 159, 0)
"""False positive."""
MISSED: RGB = (0, 132, 214)
"""False negative."""
GROUND: RGB = (26, 32, 40)
"""True negative."""
STRETCH_PERCENT = (2.0, 98.0)


def hatch(height: int, width: int) -> Picture:
    """Diagonal grey stripes that mean 'no data'."""
    stripes = (np.add.outer(np.arange(height), np.arange(width)) // 4) % 2
    return np.repeat(np.where(stripes, 150, 176).astype(np.uint8)[..., None], 3, axis=-1)


def display_bands(count: int) -> tuple[int, int, int]:
    """Bands drawn as red, green and blue when none are chosen.

    Three or more: the first three. Two: the first as red and the second as green and blue, so that a change from one
    date to the other shows as red or cyan. One: grey.
    """
    match count:
        case 1:
            return 0, 0, 0
        case 2:
            return 0, 1, 1
        case _:
            return 0, 1, 2


def composite(
    values: NDArray[np.floating] | NDArray[np.integer],
    valid: NDArray[np.bool_],
    bands: Sequence[int] | None = None,
) -> Picture:
    """Bands of `values` (C, H, W) as red, green, blue, each stretched over its valid 2..98 percentiles.

    Where `valid` (H, W) is False the picture is hatched. A band of one value is mid-grey. `bands` are three indices
    (or one, drawn grey); by default `display_bands`.
    """
    chosen = tuple(display_bands(len(values)) if bands is None else bands)
    if len(chosen) == 1:
        chosen *= 3
    picture = hatch(*valid.shape)
    if valid.any():
        for channel, band in enumerate(chosen):
            good = values[band][valid].astype(np.float64)
            low, high = np.percentile(good, STRETCH_PERCENT)
            share = (good - low) / (high - low) if high > low else np.full(good.shape, 0.5)
            picture[..., channel][valid] = np.clip(share * 255, 0, 255).round().astype(np.uint8)
    return picture


def _painted(classes: NDArray[np.integer], colours: Sequence[RGB], ignored: NDArray[np.bool_]) -> Picture:
    picture = np.array(colours, np.uint8)[classes]
    return np.where(ignored[..., None], hatch(*classes.shape), picture).astype(np.uint8)


def truth_map(label: NDArray[np.integer]) -> Picture:
    """`label` (H, W) with the class white, the rest dark and 255 hatched."""
    return _painted((label == 1).astype(np.intp), (GROUND, RIGHT), label == IGNORE_LABEL)


def error_map(probability: NDArray[np.floating], label: NDArray[np.integer], threshold: float = 0.5) -> Picture:
    """Right white, false alarms orange, missed blue, background dark; 255 of `label` (H, W) hatched."""
    predicted = (probability >= threshold).astype(np.intp)
    classes = predicted + 2 * (label == 1)
    return _painted(classes, (GROUND, FALSE_ALARM, MISSED, RIGHT), label == IGNORE_LABEL)


def probability_map(probability: NDArray[np.floating], valid: NDArray[np.bool_] | None = None) -> Picture:
    """`probability` (H, W) in 0 .. 1 in the cividis colour map, dark blue to yellow; hatched where not `valid`."""
    colours = (mpl.colormaps["cividis"](np.clip(probability, 0, 1))[..., :3] * 255).round().astype(np.uint8)
    if valid is None:
        return np.asarray(colours, np.uint8)
    return np.where(valid[..., None], colours, hatch(*valid.shape)).astype(np.uint8)


def overlay_outlines(
    picture: Picture, mask: NDArray[np.bool_], colour: RGB = FALSE_ALARM, width_px: int = 1
) -> Picture:
    """`picture` with the inner edge of `mask` (H, W) drawn `width_px` wide."""
    inside = ndimage.binary_erosion(mask, iterations=width_px, border_value=1)
    edge = mask & ~inside
    return np.where(edge[..., None], np.array(colour, np.uint8), picture).astype(np.uint8)


def draw_rings(
    picture: Picture, rings: Iterable[NDArray[np.floating]], colour: RGB, *, enlarged: int = 2, width_px: int = 2
) -> Picture:
    """`picture` (H, W) with each pixel `enlarged` times as wide, and closed rings drawn over it.

    Rings are (N, 2) columns and rows, (0, 0) the upper left corner of the upper left pixel of `picture`.
    """
    sheet = Image.fromarray(picture.repeat(enlarged, 0).repeat(enlarged, 1))
    draw = ImageDraw.Draw(sheet)
    for ring in rings:
        draw.line([tuple(point) for point in np.asarray(ring) * enlarged], fill=colour, width=width_px, joint="curve")
    return np.asarray(sheet, np.uint8)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """PNG of (H, W, 3) colours or of (H, W) grey values; with a palette where 256 colours are enough."""
    buffer = io.BytesIO()
    (_with_palette(picture) or Image.fromarray(picture)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _with_palette(picture: NDArray[np.uint8]) -> Image.Image | None:
    """The picture with a palette, a third of the size; None for grey pictures and for more than 256 colours."""
    if picture.ndim == 2:
        return None
    packed = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return None
    image = Image.fromarray(index.reshape(packed.shape).astype(np.uint8), mode="P")
    image.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8).tobytes())
    return image


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) uint8 of a PNG. Raises InputError for damaged data."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB") if image.mode == "P" else image, np.uint8).copy()
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken chunk
        raise InputError("a picture in the evaluation file is damaged; run the evaluation again.") from error


@dataclass(frozen=True)
class Captioned:
    """A picture with a line under it."""

    picture: NDArray[np.uint8]
    """(H, W, 3), or (H, W) grey."""
    caption: str


@dataclass(frozen=True)
class SheetStyle:
    """Sizes of a contact sheet, in pixels, and its colours."""

    tile_px: int = 256
    """Longer side of each picture."""
    gap_px: int = 12
    text_px: int = 16
    background: RGB = (255, 255, 255)
    ink: RGB = (32, 36, 42)


def contact_sheet(rows: Sequence[Sequence[Captioned]], style: SheetStyle | None = None) -> bytes:
    """PNG of rows of pictures, each with its caption underneath. Rows may differ in length."""
    style = style or SheetStyle()
    if not any(rows):
        raise ValueError("a contact sheet needs a picture")
    tiles = [[_fit(cell.picture, style.tile_px) for cell in row] for row in rows]
    caption_px = style.text_px + style.gap_px
    heights = [max((tile.height for tile in row), default=0) + caption_px for row in tiles]
    columns = max(len(row) for row in rows)
    size = (columns * (style.tile_px + style.gap_px) + style.gap_px, sum(heights) + style.gap_px * (len(rows) + 1))
    sheet = Image.new("RGB", size, style.background)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(style.text_px)
    top = style.gap_px
    for row, row_tiles, height in zip(rows, tiles, heights, strict=True):
        for column, (cell, tile) in enumerate(zip(row, row_tiles, strict=True)):
            left = style.gap_px + column * (style.tile_px + style.gap_px)
            sheet.paste(tile, (left, top))
            baseline = (left, top + height - caption_px + style.gap_px // 3)
            draw.text(baseline, _shorten(cell.caption, draw, font, style.tile_px), fill=style.ink, font=font)
        top += height + style.gap_px
    return encode_png(np.asarray(sheet, np.uint8))


def _fit(picture: NDArray[np.uint8], tile_px: int) -> Image.Image:
    """The picture with its longer side `tile_px`; enlarged without smoothing, so that pixels stay visible."""
    image = Image.fromarray(picture).convert("RGB")
    scale = tile_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)


def _shorten(
    text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int
) -> str:
    while len(text) > 1 and draw.textlength(text, font=font) > width_px:
        text = text[:-2].rstrip() + "…"
    return text
