"""Footprints in COCO files: polygons and run-length codes, compressed or not.

The format is that of the COCO API (https://cocodataset.org/#format-data): polygons are lists of x, y in pixels, (0, 0)
being the outer corner of the first pixel; run lengths count pixels column by column, beginning with background; the
compressed form writes them as text, six bits a character, from the fourth on as differences to the last but one.
The polygons of one annotation are united, as the API does it; a hole exists in run-length codes alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from overcast.data.georeference import Georeference
from overcast.errors import InputError
from overcast.grid import Window

Runs = NDArray[np.int64]
"""Lengths of runs in column-major order: background, foreground, background, ..."""


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
        ValueError: A character is not of the code, or the text ends within a number.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no character of a run-length code")
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
    images: dict[int, tuple[str, int, int]] = {}
    for image in content["images"]:
        try:
            images[image["id"]] = (Path(image["file_name"]).stem, int(image["height"]), int(image["width"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: an image entry lacks {error}; copy the file again.") from error
    polygons: dict[int, list[tuple[int, NDArray[np.float32]]]] = {key: [] for key in images}
    runs: dict[int, list[tuple[int, Runs]]] = {key: [] for key in images}
    for number, annotation in enumerate(content["annotations"], start=1):
        try:
            key, parts = annotation["image_id"], _parts(annotation["segmentation"])
            for part in parts:
                if isinstance(part, dict):
                    runs[key].append((number, _runs(part, images[key][1:])))
                elif len(part) >= 6:
                    polygons[key].append((number, np.array(part, np.float32).reshape(-1, 2)))
        except (KeyError, TypeError, ValueError) as error:
            name = annotation.get("id") if isinstance(annotation, dict) else annotation
            raise InputError(f"{path}: annotation {name} cannot be read ({error}); copy the file again.") from error
    outlines = {
        stem: _outlines(path, (height, width), polygons[key], runs[key])
        for key, (stem, height, width) in images.items()
    }
    if len(outlines) < len(content["images"]):
        raise InputError(f"{path} names an image or its id twice; copy the file again.")
    return outlines


def _outlines(
    path: Path, size: tuple[int, int], polygons: list[tuple[int, NDArray[np.float32]]], runs: list[tuple[int, Runs]]
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
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON ({error}); copy it again.") from error
    lists = content if isinstance(content, dict) else {}
    if not (isinstance(lists.get("images"), list) and isinstance(lists.get("annotations"), list)):
        raise InputError(f"{path} is no COCO file: it lacks the lists images and annotations.")
    return lists


def _require_category(path: Path, content: Mapping[str, Any], category: str) -> None:
    names = [str(entry.get("name")) for entry in content.get("categories", [])]
    others = [name for name in names if name.lower().removesuffix("s") != category]
    if others:
        raise InputError(f"{path} holds the category {others[0]!r}, but {category} is expected; use the other file.")


def _parts(segmentation: Any) -> list[Any]:
    """Polygons or run-length codes of one annotation."""
    return [segmentation] if isinstance(segmentation, dict) else list(segmentation)


def _runs(code: Mapping[str, Any], size: tuple[int, int]) -> Runs:
    counts = code["counts"]
    runs = np.array(decode_counts(counts) if isinstance(counts, str) else counts, np.int64)
    height, width = code["size"]
    if (height, width) != size or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"run lengths of {runs.sum()} pixels on {height} x {width} do not fill {size[0]} x {size[1]}")
    return runs
