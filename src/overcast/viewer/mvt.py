"""Polygons as Mapbox Vector Tiles 2.1: coordinates of a whole tile are encoded at once, by NumPy.

https://github.com/mapbox/vector-tile-spec/tree/master/2.1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

EXTENT = 4096
"""Units of a tile's side."""
BUFFER = 64
"""Units beyond the border, so that outlines do not show where tiles meet."""
_MOVE, _LINE, _CLOSE = 1, 2, 7
_POLYGON = 3

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class TileShapes:
    """What one layer of a tile holds; all arrays have N entries."""

    geometry: NDArray[np.object_]
    """Polygons or multi-polygons in units of the tile: x to the right, y downwards, 0 .. `EXTENT`."""
    id: NDArray[np.int64]
    """Not negative."""
    values: Mapping[str, NDArray[np.int64]]
    """Whole numbers by name, not negative."""


@dataclass(frozen=True)
class _Rings:
    """Rings of all polygons behind each other, without the closing point."""

    xy: Integers
    """(P, 2) vertices."""
    start: Integers
    """(R,) first vertex of each ring."""
    size: Integers
    """(R,) number of vertices."""
    owner: Integers
    """(R,) index of the shape; never falls."""
    outer: NDArray[np.bool_]


def encode_layer(name: str, shapes: TileShapes) -> bytes:
    """The bytes of a tile with one layer; no bytes where nothing of the shapes is left."""
    rings = _oriented(_rings_of(_clipped(shapes.geometry)))
    if not rings.size.size:
        return b""
    stream, ends = _commands(rings)
    owners, firsts = np.unique(rings.owner, return_index=True)
    lasts = np.append(firsts[1:], rings.owner.size) - 1
    begins = np.concatenate([[0], ends])[firsts]
    tags, table = _tags({key: column[owners] for key, column in shapes.values.items()}, owners.size)
    features = [
        _feature(int(number), tag, stream[begin:end])
        for number, tag, begin, end in zip(
            shapes.id[owners].tolist(), tags, begins.tolist(), ends[lasts].tolist(), strict=True
        )
    ]
    body = b"".join(
        [_field(1, name.encode()), *features, table, b"\x28", _varint(EXTENT), b"\x78\x02"]  # extent, version 2
    )
    return _field(3, body)


def _clipped(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Shapes cut at the border of the tile and its buffer, where they reach beyond it."""
    low, high = -BUFFER, EXTENT + BUFFER
    west, north, east, south = shapely.bounds(geometry).T
    beyond = (west < low) | (north < low) | (east > high) | (south > high)
    if not beyond.any():
        return geometry
    cut = geometry.copy()
    cut[beyond] = shapely.clip_by_rect(geometry[beyond], low, low, high, high)
    return cut


def _rings_of(geometry: NDArray[np.object_]) -> _Rings:
    """Rings in whole units, without repeated points; those that collapse are left out."""
    parts, shape = shapely.get_parts(geometry, return_index=True)
    polygons = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    parts, shape = parts[polygons], shape[polygons]
    rings, part = shapely.get_rings(parts, return_index=True)
    first_of_part = np.append(True, part[1:] != part[:-1]) if part.size else np.zeros(0, np.bool_)
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    xy = np.rint(coordinates).astype(np.int64)
    opens = np.append(True, ring[1:] != ring[:-1]) if ring.size else np.zeros(0, np.bool_)
    moved = np.append(True, (xy[1:] != xy[:-1]).any(axis=1)) if ring.size else np.zeros(0, np.bool_)
    keep = moved | opens
    closes = np.append(opens[1:], True) if ring.size else opens
    keep &= ~closes  # the closing point repeats the first one
    xy, ring = xy[keep], ring[keep]
    xy, ring = _without_return(xy, ring)
    size = np.bincount(ring, minlength=rings.size)
    return _select(_Rings(xy, np.cumsum(size) - size, size, shape[part], first_of_part), size >= 3)


def _without_return(xy: Integers, ring: Integers) -> tuple[Integers, Integers]:
    """Without last points that, rounded, are the first one of their ring again."""
    if not ring.size:
        return xy, ring
    opens = np.append(True, ring[1:] != ring[:-1])
    closes = np.append(opens[1:], True)
    first = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    stays = ~(closes & ~opens & (xy == xy[first]).all(axis=1))
    return xy[stays], ring[stays]


def _select(rings: _Rings, wanted: NDArray[np.bool_]) -> _Rings:
    """Some of the rings. A hole whose outline is left out goes with it."""
    outline = np.maximum.accumulate(np.where(rings.outer, np.arange(rings.outer.size), 0))
    wanted = wanted & wanted[outline] if wanted.size else wanted
    points = np.repeat(wanted, rings.size)
    size = rings.size[wanted]
    return _Rings(rings.xy[points], np.cumsum(size) - size, size, rings.owner[wanted], rings.outer[wanted])


def _oriented(rings: _Rings) -> _Rings:
    """Outlines with positive area, holes with negative, as the shoelace formula has it where y points down."""
    if not rings.size.size:
        return rings
    area = _double_areas(rings)
    rings = _select(rings, area != 0)
    if not rings.size.size:
        return rings
    turn = np.repeat((_double_areas(rings) > 0) != rings.outer, rings.size)
    start, size = np.repeat(rings.start, rings.size), np.repeat(rings.size, rings.size)
    step = np.arange(rings.xy.shape[0]) - start
    return _Rings(
        rings.xy[start + np.where(turn, size - 1 - step, step)], rings.start, rings.size, rings.owner, rings.outer
    )


def _double_areas(rings: _Rings) -> Integers:
    last = rings.start + rings.size - 1
    follower = np.arange(rings.xy.shape[0]) + 1
    follower[last] = rings.start
    x, y = rings.xy.T
    return np.asarray(np.add.reduceat(x * y[follower] - x[follower] * y, rings.start), np.int64)


def _commands(rings: _Rings) -> tuple[bytes, Integers]:
    """All rings as commands, and where in the bytes each ring ends."""
    lengths = 2 * rings.size + 3
    at = np.cumsum(lengths) - lengths
    words = np.empty(int(lengths.sum()), np.uint64)
    words[at], words[at + 3] = _MOVE | 1 << 3, _LINE | (rings.size - 1) << 3
    words[at + lengths - 1] = _CLOSE | 1 << 3
    steps = _zigzag(_deltas(rings))
    place = np.arange(rings.xy.shape[0]) - np.repeat(rings.start, rings.size)
    slot = np.repeat(at, rings.size) + np.where(place == 0, 1, 2 + 2 * place)
    words[slot], words[slot + 1] = steps[:, 0], steps[:, 1]
    stream, ends = _varints(words)
    return stream, ends[at + lengths - 1]


def _deltas(rings: _Rings) -> Integers:
    """(P, 2) steps from point to point; the pen starts anew at each shape."""
    steps = np.diff(rings.xy, axis=0, prepend=np.zeros((1, 2), np.int64))
    anew = rings.start[np.append(True, rings.owner[1:] != rings.owner[:-1])]
    steps[anew] = rings.xy[anew]
    return np.asarray(steps, np.int64)


def _zigzag(values: Integers) -> NDArray[np.uint64]:
    return ((values << 1) ^ (values >> 63)).astype(np.uint64)


def _varints(words: NDArray[np.uint64]) -> tuple[bytes, Integers]:
    """Numbers below 2^35 as varints, and where each ends."""
    limits = np.array([1 << 7 * power for power in range(1, 5)], np.uint64)
    sizes = np.asarray(1 + np.searchsorted(limits, words, side="right"), np.int64)
    ends = np.cumsum(sizes)
    content = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    begins = ends - sizes
    for position in range(5):
        has = sizes > position
        low = (words[has] >> np.uint64(7 * position)) & np.uint64(0x7F)
        more = np.where(sizes[has] > position + 1, 0x80, 0).astype(np.uint64)
        content[begins[has] + position] = (low | more).astype(np.uint8)
    return content.tobytes(), ends


def _tags(values: Mapping[str, Integers], count: int) -> tuple[Sequence[bytes], bytes]:
    """The packed tags of each feature, and the keys and values that they point into."""
    table, pairs, base = [_field(3, key.encode()) for key in values], [[b""] * count], 0
    for position, column in enumerate(values.values()):
        known, index = np.unique(column, return_inverse=True)
        table += [_field(4, b"\x28" + _varint(int(value))) for value in known.tolist()]  # uint_value
        packed = [_varint(position) + _varint(base + turn) for turn in range(known.size)]
        pairs.append([packed[turn] for turn in index.tolist()])
        base += known.size
    return [b"".join(one) for one in zip(*pairs, strict=True)], b"".join(table)


def _feature(number: int, tags: bytes, geometry: bytes) -> bytes:
    return _field(2, b"\x08" + _varint(number) + _field(2, tags) + bytes((0x18, _POLYGON)) + _field(4, geometry))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
