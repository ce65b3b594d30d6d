"""A block: one tile row, blended along the row, in a file that can be computed alone and joined later.

The file is a sequence of records, one for each column of tiles: the length of a zlib stream (4 bytes, little-endian;
0 where the column has no data, and nothing follows), the stream, and float32 sums as they are. The stream holds one bit
of validity per pixel of the rows that are shared with the tile rows above and below, then, for the rows between, which
are final, the probability as it will be stored; the sums are those of the shared rows; sums and probabilities of
several channels one after the other. Joining adds the same numbers in the same order as a single pass.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from overcast.choices import Encoding
from overcast.errors import InputError
from overcast.outputs.encoding import decode, encode
from overcast.outputs.scratch import open_own
from overcast.outputs.writable import writing
from overcast.reading import file_sha256
from overcast.scenes.blend import RowSink, channel_axis, shared_above
from overcast.scenes.tiles import ScenePlan

T = TypeVar("T", bound=np.generic)
_LENGTH = struct.Struct("<I")
_STORED = 0
"""Level of zlib: nothing is compressed, but each stream has a checksum. Blocks live while their scene is mapped:
smaller ones are not worth the time."""


@dataclass(frozen=True)
class Block:
    """A finished block, as the journal knows it."""

    tile_row: int
    name: str | None
    """File; None where the tile row has no data."""
    size: int
    """Bytes of the file."""
    sha256: str | None
    """Checksum of the file."""
    tiles: int
    """Tiles that went through the network."""
    computed: int
    """Pixels that went through the network."""

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """What `to_dict` gave. Raises ValueError or TypeError for anything else, a file elsewhere above all."""
        block = cls(**values)
        numbers = (block.tile_row, block.size, block.tiles, block.computed)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("a number is none")
        if block.name not in (None, block_name(block.tile_row)):
            raise ValueError("the file is not that of the row")
        return block

    def is_whole(self, folder: Path) -> bool:
        """True where the file is there as it was written."""
        if self.name is None:
            return True
        path = folder / self.name
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return file_sha256(path) == self.sha256

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Rows:
    """Which rows of a tile row are shared with others (`first`, `last`) and which are final."""

    first: slice
    final: slice
    last: slice

    @classmethod
    def of(cls, plan: ScenePlan, tile_row: int) -> Self:
        above, step = shared_above(plan.rows, tile_row), plan.rows.step(tile_row)
        middle = max(above, step)
        return cls(slice(0, above), slice(above, middle), slice(middle, plan.rows.tile))

    def shared(self, values: NDArray[T]) -> NDArray[T]:
        return np.concatenate([values[..., self.first, :], values[..., self.last, :]], axis=-2)


@dataclass
class _Growing:
    """The file of a tile row that is not complete."""

    path: Path
    file: IO[bytes]
    any: bool = False
    """Some column has data."""
    size: int = 0

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256()

    def append(self, part: bytes) -> None:
        self.file.write(part)
        self.hash.update(part)
        self.size += len(part)


class BlockWriter:
    """A RowSink that makes a file of each tile row: written, synced, renamed, then reported as finished.

    Several tile rows may grow at once.
    """

    def __init__(
        self, folder: Path, plan: ScenePlan, encoding: Encoding, finished: Callable[[Block], None], title: str
    ) -> None:
        """Write into `folder`. `title` names the scene's output in errors."""
        self._title = title
        self._folder, self._plan, self._encoding, self._finished = folder, plan, encoding, finished
        self._growing: dict[int, _Growing] = {}

    def column(self, tile_row: int, index: int, total: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Append a record. Raises InputError where the disk is full."""
        del index
        rows = _Rows.of(self._plan, tile_row)
        stream, sums = _pack(rows, total, valid, self._encoding) if valid.any() else (b"", b"")
        with writing(self._folder, self._title):
            if tile_row not in self._growing:
                path = self._folder / f"{block_name(tile_row)}.growing"
                self._growing[tile_row] = _Growing(path, open_own(path, "wb"))
            growing = self._growing[tile_row]
            for part in (_LENGTH.pack(len(stream)), stream, sums):
                growing.append(part)
        growing.any = growing.any or bool(stream)

    def end(self, tile_row: int, tiles: int, computed: int) -> None:
        """Publish the file."""
        growing, name = self._growing[tile_row], block_name(tile_row)
        with writing(self._folder, self._title):
            growing.file.flush()
            os.fsync(growing.file.fileno())
            growing.file.close()
            if growing.any:
                growing.path.replace(self._folder / name)
            else:
                growing.path.unlink()
        block = Block(tile_row, name, growing.size, growing.hash.hexdigest(), tiles, computed)
        self._finished(block if growing.any else Block(tile_row, None, 0, None, tiles, computed))
        del self._growing[tile_row]

    def close(self) -> None:
        """Remove files that did not become whole."""
        for growing in self._growing.values():
            growing.file.close()
            growing.path.unlink(missing_ok=True)


def block_name(tile_row: int) -> str:
    """File name of a tile row's block."""
    return f"row-{tile_row:06d}.block"


def read_block(
    folder: Path, block: Block, plan: ScenePlan, encoding: Encoding, sink: RowSink, channels: int = 1
) -> None:
    """Hand a block to `sink`, column by column. Raises InputError where its file is damaged."""
    if block.name is None:
        _read_empty(block, plan, sink, channels)
        return
    path = folder / block.name
    rows = _Rows.of(plan, block.tile_row)
    try:
        with path.open("rb") as file:
            for index in range(len(plan.cols.starts)):
                width = plan.cols.step(index)
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                shape = (*channel_axis(channels), plan.rows.tile, width)
                total, valid = _unpack(rows, file, length, shape, encoding) if length else _nothing(shape)
                sink.column(block.tile_row, index, total, valid)
    except (OSError, struct.error, zlib.error, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); run the same command again: it is computed again.") from error
    sink.end(block.tile_row, block.tiles, block.computed)


def _read_empty(block: Block, plan: ScenePlan, sink: RowSink, channels: int) -> None:
    for index in range(len(plan.cols.starts)):
        sink.column(block.tile_row, index, *_nothing((*channel_axis(channels), plan.rows.tile, plan.cols.step(index))))
    sink.end(block.tile_row, block.tiles, block.computed)


def _nothing(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return np.zeros(shape, np.float32), np.zeros(shape[-2:], np.bool_)


def _pack(rows: _Rows, total: NDArray[np.float32], valid: NDArray[np.bool_], encoding: Encoding) -> tuple[bytes, bytes]:
    """The stream and the sums of a record.

    What is not valid here is so in every tile row, or decided by others alone: its sum is of no use.
    """
    bits = np.packbits(rows.shared(valid))
    sums = rows.shared(np.where(valid, total, np.float32(0)))
    final = encode(np.where(valid[rows.final], total[..., rows.final, :], np.float32(np.nan)), encoding)
    stream = zlib.compress(bits.tobytes() + final.tobytes(), _STORED)
    return stream, sums.tobytes()


def _unpack(
    rows: _Rows, file: IO[bytes], length: int, shape: tuple[int, ...], encoding: Encoding
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Sums of `shape`, which is (tile, w) or (M, tile, w), and validity (tile, w), from a stream of `length` on.

    Raises ValueError or zlib.error for a damaged record.
    """
    content = memoryview(zlib.decompress(file.read(length)))
    *leading, height, width = shape
    first, final = rows.first.stop, rows.final.stop - rows.final.start
    count = (height - final) * width
    bytes_of_bits = -(-count // 8)
    bits = np.unpackbits(np.frombuffer(content[:bytes_of_bits], np.uint8), count=count).view(np.bool_)
    sums = np.frombuffer(file.read(prod(leading) * count * np.dtype(np.float32).itemsize), np.float32)
    codes = np.frombuffer(content[bytes_of_bits:], encoding.value)
    total, valid = _nothing(shape)
    decoded, with_data = decode(codes.reshape(*leading, final, width))
    total[..., rows.final, :] = decoded
    valid[rows.final] = with_data.reshape(prod(leading), final, width)[0]
    for target, source in ((total, sums), (valid, bits)):
        lines = source.reshape(*target.shape[:-2], height - final, width)
        target[..., rows.first, :], target[..., rows.last, :] = lines[..., :first, :], lines[..., first:, :]
    return total, valid
