"""Finished blocks of a scene on disk, and the journal by which a killed run goes on where it stopped.

request.json   what was asked for; blocks of another request are of no use
journal.jsonl  a line for each finished block, appended after its file has been synced and renamed
row-*.block    see `overcast.scenes.blockfile`
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overcast.errors import InputError
from overcast.outputs.scratch import open_own, replace_own, target_name
from overcast.outputs.writable import unusable_part, writing
from overcast.scenes.blockfile import Block

MOST_THREADS = 1024
"""A larger number in a request is damage."""
_REQUEST, _JOURNAL = "request.json", "journal.jsonl"

Facts = Mapping[str, Any]
"""JSON values by name."""


class WorkFolder:
    """The blocks of one request. Only finished and undamaged ones are known."""

    def __init__(self, path: Path, blocks: Mapping[int, Block], note: str) -> None:
        """Use `open_work`."""
        self.path, self.note = path, note
        self._blocks = dict(blocks)
        self._lock = threading.Lock()

    @property
    def blocks(self) -> Mapping[int, Block]:
        """Finished blocks by tile row."""
        return self._blocks

    @property
    def title(self) -> str:
        """What the user knows the folder by: the first output."""
        return target_name(self.path.parent)

    def missing(self, count: int) -> list[int]:
        """Tile rows of 0 .. `count` - 1 that are still to be computed."""
        return [tile_row for tile_row in range(count) if tile_row not in self._blocks]

    def record(self, block: Block) -> None:
        """Enter a finished block into the journal, for good. Raises InputError where the disk is full."""
        line = json.dumps(block.to_dict()) + "\n"
        with self._lock, writing(self.path, self.title), open_own(self.path / _JOURNAL, "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
            self._blocks[block.tile_row] = block


def store_block(work: WorkFolder, block: Block, content: bytes) -> None:
    """Write the file of a block that was computed elsewhere, and enter it into the journal.

    Raises InputError where the disk is full, or what came is not what was sent.
    """
    if block.name is not None:
        growing = work.path / f"{block.name}.growing"
        with writing(work.path, work.title):
            with open_own(growing, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            growing.replace(work.path / block.name)
    if not block.is_whole(work.path):
        raise InputError(f"block {block.tile_row} of {work.title} arrived damaged; run the same command again.")
    work.record(block)


def open_work(path: Path, request: Facts) -> WorkFolder:
    """The folder of a request, with the blocks that an earlier run of the same request has left.

    Every block is checked against the journal; damaged ones are forgotten. A folder of another request is emptied, and
    `note` says why. Raises InputError where a symbolic link lies in the folder: it is not followed.
    """
    wanted = json.loads(json.dumps(request))
    plain = _all_files(path)
    found = _read_json(path / _REQUEST)
    if found == wanted and plain:
        blocks, damaged = _read_journal(path)
        return WorkFolder(path, blocks, _resumed_note(len(blocks), damaged))
    shutil.rmtree(path, ignore_errors=True)
    with writing(path.parent, target_name(path.parent)):
        path.mkdir()
    with writing(path, target_name(path.parent)):
        replace_own(path / _REQUEST, json.dumps(wanted, indent=1) + "\n")
    return WorkFolder(path, {}, "" if found is None else _differs_note(found, wanted))


def _all_files(path: Path) -> bool:
    """True where a folder of blocks holds nothing but files. Raises InputError for a symbolic link in it."""
    entries = list(path.iterdir()) if path.is_dir() else []
    for entry in entries:
        if entry.is_symlink():
            raise unusable_part(entry, target_name(path.parent))
    return all(entry.is_file() for entry in entries)


@dataclass(frozen=True)
class Earlier:
    """How the run computed whose blocks lie in a folder; None is what it does not say."""

    threads: int | None = None
    runtime: str | None = None
    precision: str | None = None
    device: str | None = None


def earlier_run(path: Path) -> Earlier:
    """Of the run whose blocks lie in a folder; nothing is known without."""
    request = _read_json(path / _REQUEST) or {}
    options = request.get("options")
    options = options if isinstance(options, dict) else {}
    threads = request.get("threads")
    known = isinstance(threads, int) and 0 < threads <= MOST_THREADS
    said = (request.get("runtime"), options.get("precision"), options.get("device"))
    return Earlier(threads if known else None, *(one if isinstance(one, str) else None for one in said))


def _resumed_note(whole: int, damaged: Sequence[str]) -> str:
    again = f"; {len(damaged)} damaged ones are computed again" if damaged else ""
    return f"going on with {whole} finished blocks of an earlier run{again}" if whole or damaged else ""


def _differs_note(found: Facts, wanted: Facts) -> str:
    names = [name for name in wanted if found.get(name) != wanted[name]]
    return f"unfinished work of an earlier run is for another {', '.join(names) or 'request'}; starting anew"


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is none or it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else {}


def _read_journal(path: Path) -> tuple[dict[int, Block], list[str]]:
    """Whole blocks by tile row, and what is damaged: a block, or the line that a kill cut off."""
    blocks, damaged = dict[int, Block](), []
    journal = path / _JOURNAL
    lines = journal.read_text(encoding="utf-8", errors="replace").splitlines() if journal.is_file() else []
    for line in lines:
        try:
            block = Block.from_dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue  # cut off or damaged: its block is computed again
        if block.is_whole(path):
            blocks[block.tile_row] = block
        else:
            damaged.append(str(block.name))
    if lines and not journal.read_bytes().endswith(b"\n"):
        _rewrite(path, blocks)
    return blocks, damaged


def _rewrite(path: Path, blocks: Mapping[int, Block]) -> None:
    """The journal without its torn last line, to which the next one would be glued."""
    with writing(path, target_name(path.parent)):
        replace_own(path / _JOURNAL, "".join(json.dumps(block.to_dict()) + "\n" for block in blocks.values()))
