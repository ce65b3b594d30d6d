"""Footprints in COCO files: polygons and run-length codes, compressed or not.

The format is that of the COCO API (https://cocodataset.org/#format-data): polygons are lists of x, y in pixels, (0, 0)
being the outer corner of the first pixel; run lengths count pixels column by column, beginning with background; the
compressed form writes them as text, six bits a character, from the fourth on as differences to the last but one.
The polygons of one annotation are united, as the API does it; a hole exists in run-length codes alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.reading import first_line, quoted, read_json
from overcast.reading.files import LARGEST_DATA_BYTES

Runs = NDArray[np.int64]
"""Lengths of runs in column-major order: background, foreground, background, ..."""
Corners = NDArray[np.float32]
ImageId = int | str
LONGEST_NUMBER = 13
"""Digits of a run length; thirteen hold 64 bits."""
LARGEST_SIDE = 100_000
"""Largest side of an image, in pixels."""
FARTHEST_PX = 10.0 * LARGEST_SIDE
"""Corners may lie outside the image, but not anywhere."""


@dataclass(frozen=True, eq=False)
class Outlines:
    """Footprints of one image, in pixels of its own grid."""

    path: Path
    """COCO file that they come from."""
    height: int
    width: int
    polygons: tuple[NDArray[np.float32], ...] = ()
    """(V, 2) x and y of the corners each."""
    runs: tuple[Runs, ...] = ()
    polygon_owners: tuple[int, ...] = ()
    """Number, from 1, of the annotation that each polygon belongs to."""
    run_owners: tuple[int, ...] = ()
    """The same for run lengths."""

    def require_size(self, image: Path, grid: Georeference) -> None:
        """Raise InputError where the image has another size than the file says."""
        if (grid.height, grid.width) != (self.height, self.width):
            raise InputError(
                f"{image} has {grid.height} x {grid.width} pixels, but {self.path} says {self.height} x "
                f"{self.width}; copy the image again."
            )

    def draw(self, window: Window) -> NDArray[np.uint8]:
        """(h, w) uint8: 1 where a pixel's centre lies in a polygon, or where a run-length code says so; else 0."""
        drawn = np.zeros((window.height, window.width), np.uint8)
        shapes = [shapely.Polygon(corners) for corners in self.polygons]
        if shapes:
            origin = Affine.translation(window.col, window.row)
            rasterio.features.rasterize(shapes, out=drawn, transform=origin, default_value=1)
        for runs in self.runs:
            values = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs)
            drawn |= values.reshape((self.height, self.width), order="F")[window.slices]
        return drawn

    def number(self, window: Window) -> NDArray[np.int32]:
        """(h, w) number of the annotation that covers a pixel, 0 for none; the last one where several do."""
        numbers = np.zeros((window.height, window.width), np.int32)
        shapes = [shapely.Polygon(corners) for corners in self.polygons]
        if shapes:
            origin = Affine.translation(window.col, window.row)
            owned = zip(shapes, self.polygon_owners, strict=True)
            rasterio.features.rasterize(owned, out=numbers, transform=origin)
        for runs, owner in zip(self.runs, self.run_owners, strict=True):
            values = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs)
            numbers[values.reshape((self.height, self.width), order="F")[window.slices] > 0] = owner
        return numbers


def decode_counts(text: str) -> list[int]:
    """Run lengths of the compressed form.

    Each number is written in groups of five bits, lowest first, as characters from `0` on; 32 marks that more follow,
    and the highest bit of the last group is the sign.

    >>> decode_counts("231X1M")
    [2, 3, 1, 43, -2]

    Raises:
        ValueError: A character is not of the code, the text ends within a number, or a number has too many digits.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{quoted(character)} is no character of a run-length code")
        if shift >= 5 * LONGEST_NUMBER:
            raise ValueError(f"a number of the run-length code has more than {LONGEST_NUMBER} digits")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = shift = 0
    if shift:
        raise ValueError("the run-length code ends within a number")
    return counts


def read_coco(path: Path, category: str = "building") -> dict[str, Outlines]:
    """Footprints by the stem of the image's file name; images without annotations have none.

    Every annotation counts, crowds (`iscrowd`) too. Polygons of fewer than three corners enclose nothing.

    Args:
        path: COCO file.
        category: What every category must be called, in whatever case, with or without a plural s; files that list no
            categories are taken as they are.

    Raises:
        InputError: The file is missing or damaged, an image is named twice, a category is another one, or an annotation
            cannot be read; names the annotation.
    """
    content = _load(path)
    _require_category(path, content, category)
    images = dict(_image(path, image) for image in content["images"])
    if len(images) < len(content["images"]) or len({stem for stem, _ in images.values()}) < len(images):
        raise InputError(f"{path} names an image or its id twice; copy the file again.")
    polygons: dict[ImageId, list[tuple[int, Corners]]] = {key: [] for key in images}
    runs: dict[ImageId, list[tuple[int, Runs]]] = {key: [] for key in images}
    for number, annotation in enumerate(content["annotations"], start=1):
        try:
            key = annotation["image_id"]
            _, size = images[key]
            for part in _parts(annotation["segmentation"]):
                if isinstance(part, dict):
                    runs[key].append((number, _runs(part, size)))
                elif len(corners := _corners(part)) >= 3:
                    polygons[key].append((number, corners))
        except (KeyError, TypeError, ValueError) as error:
            name = annotation.get("id") if isinstance(annotation, dict) else annotation
            reason = first_line(error)
            raise InputError(f"{path}: annotation {quoted(name)} cannot be read ({reason}); correct it.") from error
    return {stem: _outlines(path, size, polygons[key], runs[key]) for key, (stem, size) in images.items()}


def _image(path: Path, entry: Any) -> tuple[ImageId, tuple[str, tuple[int, int]]]:
    """Id, stem of the file name, height and width of an image."""
    try:
        key, stem = _identifier(entry["id"]), _stem(entry["file_name"])
        return key, (stem, (_whole(entry["height"], LARGEST_SIDE), _whole(entry["width"], LARGEST_SIDE)))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: an image entry lacks {first_line(error)}; copy the file again.") from error


def _identifier(value: Any) -> ImageId:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"an id that is a number or a text, not {quoted(value)}")
    return value


def _stem(name: Any) -> str:
    """The stem of a file name that may have folders before it, as Windows writes them too."""
    if not isinstance(name, str) or not (stem := Path(re.split(r"[\\/]", name)[-1]).stem):
        raise TypeError(f"a file_name that is a name, not {quoted(name)}")
    return unicodedata.normalize("NFC", stem)


def _outlines(
    path: Path, size: tuple[int, int], polygons: list[tuple[int, Corners]], runs: list[tuple[int, Runs]]
) -> Outlines:
    """One image's outlines; annotations, numbered over the whole file, are numbered from 1."""
    found = {annotation for annotation, _ in (*polygons, *runs)}
    number = {annotation: at for at, annotation in enumerate(sorted(found), start=1)}
    return Outlines(
        path,
        *size,
        polygons=tuple(corners for _, corners in polygons),
        runs=tuple(lengths for _, lengths in runs),
        polygon_owners=tuple(number[annotation] for annotation, _ in polygons),
        run_owners=tuple(number[annotation] for annotation, _ in runs),
    )


def _load(path: Path) -> dict[str, Any]:
    content = read_json(path, InputError, limit=LARGEST_DATA_BYTES)
    lists = content if isinstance(content, dict) else {}
    if not (isinstance(lists.get("images"), list) and isinstance(lists.get("annotations"), list)):
        raise InputError(f"{path} is not a COCO file: it lacks the lists images and annotations; use another file.")
    return lists


def _require_category(path: Path, content: Mapping[str, Any], category: str) -> None:
    entries = content.get("categories") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} is not a COCO file: categories is not a list of objects; use another file.")
    others = [name for entry in entries if (name := str(entry.get("name"))).lower().removesuffix("s") != category]
    if others:
        expected = f"{category} is expected; use the other file"
        raise InputError(f"{path} holds the category {quoted(others[0])}, but {expected}.")


def _parts(segmentation: Any) -> list[Any]:
    """Polygons or run-length codes of one annotation."""
    parts = [segmentation] if isinstance(segmentation, dict) else segmentation
    if not isinstance(parts, list) or not all(isinstance(part, list | dict) for part in parts):
        raise TypeError(
            f"its segmentation is {quoted(segmentation)}, where a list of polygons, each a list, is expected"
        )
    return parts


def _corners(part: list[Any]) -> Corners:
    """(V, 2) corners of a polygon."""
    if len(part) % 2 or not all(_is_number(value) and abs(value) <= FARTHEST_PX for value in part):
        raise ValueError(f"{quoted(part)} are no x and y of pixels")
    return np.array(part, np.float32).reshape(-1, 2)


def _runs(code: Mapping[str, Any], size: tuple[int, int]) -> Runs:
    counts, pixels = code["counts"], size[0] * size[1]
    numbers = decode_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(numbers, list) or len(numbers) > pixels + 1:
        raise ValueError(f"counts are {quoted(counts)}, where run lengths are expected")
    numbers = [_whole(number, pixels) for number in numbers]
    height, width = (_whole(side, LARGEST_SIDE) for side in code["size"])
    if (height, width) != size or sum(numbers) != pixels:
        total = sum(numbers)
        raise ValueError(f"run lengths of {total} pixels on {height} x {width} do not fill {size[0]} x {size[1]}")
    return np.array(numbers, np.int64)


def _whole(value: Any, largest: int) -> int:
    """A whole number from 0 to `largest`, also where it is written as 100.0. Raises ValueError for anything else."""
    if not _is_number(value) or not 0 <= value <= largest or value != int(value):
        raise ValueError(f"{quoted(value)} is not a whole number from 0 to {largest}")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
