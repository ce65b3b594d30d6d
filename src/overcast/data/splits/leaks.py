"""Leak check: ground, files or places that training and test have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from overcast.data.chips import Bounds, Chip
from overcast.data.splits.file import split_as_json
from overcast.data.splits.ground import Placed, contacts, metric_boxes
from overcast.data.splits.groups import choose
from overcast.data.splits.parts import Part, Split
from overcast.errors import LeakError
from overcast.raster.files import open_raster, reading, require_readable
from overcast.reading import file_sha256

WORST = 10
"""How many examples a report keeps."""

DEFINITION = (
    "shared_ground_m2 is the area of the intersection of the union of the training rectangles with the union of the "
    "test rectangles; pairs counts overlapping (training, test) rectangles and tiles the training chips among them; "
    "touching is not overlapping."
)


@dataclass(frozen=True)
class SharedPair:
    """One training and one test chip that have something in common."""

    train: str
    test: str
    what: str
    """`120.0 m2 of ground`, or the name of the file whose content both hold."""


@dataclass(frozen=True)
class LeakReport:
    """What training and test have in common."""

    train_chips: int
    test_chips: int
    pairs: int
    """Pairs of a training and a test chip whose ground overlaps."""
    tiles: int
    """Training chips whose ground overlaps test ground."""
    test_tiles: int
    """Test chips whose ground overlaps training ground."""
    shared_m2: float
    """Area that both cover, each square metre once."""
    identical: int
    """Training chips that hold an image, SAR or optical, which a test chip holds too; 0 where ground decides."""
    shared_places: tuple[str, ...]
    """Places in both, of which not all chips have a georeference."""
    worst: tuple[SharedPair, ...]
    """At most `WORST` examples, largest shared ground first."""

    @property
    def km2(self) -> float:
        """Shared ground in square kilometres."""
        return self.shared_m2 / 1e6

    @property
    def clean(self) -> bool:
        """True where nothing is shared."""
        return not (self.pairs or self.identical or self.shared_places)

    def sentence(self, train: str = "training", test: str = "test") -> str:
        """The finding in one sentence."""
        found = []
        if self.pairs:
            found.append(
                f"{self.tiles} of {self.train_chips} {train} chips share {_area(self.shared_m2)} of ground with {test} "
                "chips"
            )
        if self.identical:
            found.append(f"{self.identical} of {self.train_chips} {train} chips hold the same image as a {test} chip")
        if self.shared_places:
            names = ", ".join(self.shared_places[:3])
            found.append(f"{len(self.shared_places)} places are in both {train} and {test} ({names})")
        if not found:
            return f"{self.train_chips} {train} and {self.test_chips} {test} chips share nothing."
        example = f" (for example {self.worst[0].train} and {self.worst[0].test})" if self.worst else ""
        return f"{', '.join(found)}{example}; split them by place."


def shared_ground_m2(train: Sequence[Bounds], test: Sequence[Bounds]) -> float:
    """Area of the intersection of the two unions of rectangles, in square metres; exactly 0 where they only touch.

    Raises:
        InputError: The coordinate systems differ, or are unknown.
    """
    metric_boxes(train, test)
    return contacts(train, test).union_m2


def check_leak(train: Sequence[Placed], test: Sequence[Placed]) -> LeakReport:
    """Compare chips or tile corners by ground; where some have no georeference, all by image files and places too.

    Image files of one single value (all nodata) may be identical without being a leak, and do not count.

    Raises:
        InputError: Ground in different coordinate systems may overlap; a file cannot be read.
    """
    left, right = [chip for chip in train if chip.bounds], [chip for chip in test if chip.bounds]
    found = contacts([c.bounds for c in left if c.bounds], [c.bounds for c in right if c.bounds])
    areas = found.areas_m2
    worst = [
        SharedPair(left[i].key, right[j].key, f"{_area(areas[n])} of ground")
        for n in np.argsort(-areas, kind="stable")[:WORST]
        for i, j in [found.pairs[n]]
    ]
    unplaced = len(left) < len(train) or len(right) < len(test)
    same = _identical(train, test) if unplaced else []
    places = _common_places(train, test) if unplaced else set()
    return LeakReport(
        train_chips=len(train),
        test_chips=len(test),
        pairs=len(found.pairs),
        tiles=len(np.unique(found.pairs[:, 0])),
        test_tiles=len(np.unique(found.pairs[:, 1])),
        shared_m2=found.union_m2,
        identical=len({pair.train for pair in same}),
        shared_places=tuple(sorted(places)),
        worst=(*worst, *same)[:WORST],
    )


def check_split(split: Split, chips: Sequence[Placed]) -> dict[tuple[Part, Part], LeakReport]:
    """Reports for each two parts of a split that hold chips.

    Raises:
        InputError: The split names chips that are not given, or as `check_leak`.
    """
    parts = {part: choose(chips, split.keys(part)) for part in Part}
    filled = [part for part in Part if parts[part]]
    return {(one, other): check_leak(parts[one], parts[other]) for one, other in combinations(filled, 2)}


def require_clean_split(split: Split, chips: Sequence[Placed]) -> None:
    """Raise LeakError, in one sentence, where two parts of the split share something."""
    for (one, other), report in check_split(split, chips).items():
        if not report.clean:
            raise LeakError(report.sentence(one, other))


def describe_leak(report: LeakReport, train: str = "training", test: str = "test") -> dict[str, Any]:
    """The report as JSON: counts, area, examples, the sentence and the definition of the figures."""
    return {
        "clean": report.clean,
        "finding": report.sentence(train, test),
        "train_chips": report.train_chips,
        "test_chips": report.test_chips,
        "pairs": report.pairs,
        "tiles": report.tiles,
        "test_tiles": report.test_tiles,
        "shared_ground_m2": report.shared_m2,
        "shared_ground_km2": report.km2,
        "identical": report.identical,
        "shared_places": list(report.shared_places),
        "worst": [{"train": pair.train, "test": pair.test, "what": pair.what} for pair in report.worst],
        "definition": DEFINITION,
    }


def describe_split(split: Split, chips: Sequence[Placed] | None = None) -> dict[str, Any]:
    """A split as JSON: definition, counts, reasons of what was dropped, keys, and what its parts share.

    Args:
        split: Any split.
        chips: Its chips or tile corners; without them nothing is said about shared ground.
    """
    described = split_as_json(split)
    if chips is not None:
        reports = check_split(split, chips)
        described["clean"] = all(report.clean for report in reports.values())
        described["shared_ground_m2"] = sum(report.shared_m2 for report in reports.values())
        described["between"] = {f"{a} and {b}": describe_leak(report, a, b) for (a, b), report in reports.items()}
    return described


def _identical(train: Sequence[Placed], test: Sequence[Placed]) -> list[SharedPair]:
    """Pairs of chips that hold image files of the same content, unless that is one single value."""
    left, right = list(_images(train)), list(_images(test))
    sizes = {path.stat().st_size for _, path in left} & {path.stat().st_size for _, path in right}
    by_digest = _by_digest(right, sizes)
    pairs = []
    for digest, ours in _by_digest(left, sizes).items():
        theirs = by_digest.get(digest, [])
        if theirs and not _is_flat(ours[0][1]):
            pairs += [SharedPair(a, b, path.name) for (a, path), (b, _) in product(ours, theirs)]
    return pairs


def _common_places(train: Sequence[Placed], test: Sequence[Placed]) -> set[str]:
    """Places in both, unless every chip there has a georeference, so that ground decides."""
    unplaced = {chip.place for chip in (*train, *test) if chip.bounds is None}
    return {chip.place for chip in train} & {chip.place for chip in test} & unplaced


def _area(m2: float) -> str:
    return f"{m2 / 1e6:.2f} km2" if m2 >= 1e5 else f"{m2:.1f} m2"


def _images(chips: Iterable[Placed]) -> Iterable[tuple[str, Path]]:
    return ((chip.key, path) for chip in chips if isinstance(chip, Chip) for path in (*chip.sar, *chip.optical))


def _by_digest(files: Iterable[tuple[str, Path]], sizes: set[int]) -> dict[str, list[tuple[str, Path]]]:
    found: dict[str, list[tuple[str, Path]]] = {}
    for key, path in files:
        if path.stat().st_size in sizes:
            found.setdefault(file_sha256(path), []).append((key, path))
    return found


def _is_flat(path: Path) -> bool:
    with open_raster(path) as dataset, reading(path):
        require_readable(path, dataset.height, dataset.width)
        values = dataset.read()
    return bool((values == values.reshape(-1)[0]).all())
