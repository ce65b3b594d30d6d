"""Finished tiles, the newest of them, in bounded memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

TILE_CACHE_BYTES = 96 * 2**20
"""Size of all tiles together."""
_OVERHEAD_BYTES = 400
"""What an entry takes beside its content, so that empty tiles are bounded too."""


class TileCache:
    """Remembers results until they take more than `limit` bytes; what was not asked for longest goes first.

    Threads that ask for the same tile at once wait for one of them to make it. No more tiles are made at once than
    there are processors, and one: more would only need more memory.
    """

    def __init__(self, limit: int = TILE_CACHE_BYTES) -> None:
        self._limit, self._size, self._lock = limit, 0, threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[bytes, str]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._turns = threading.BoundedSemaphore((os.cpu_count() or 1) + 1)

    def get(self, key: Hashable, make: Callable[[], tuple[bytes, str]]) -> tuple[bytes, str]:
        """The content and its kind for a key; an error of `make` is raised and not remembered."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._entries:
                    return self._entries[key]
            try:
                with self._turns:
                    entry = make()
                self._keep(key, entry)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return entry

    def _keep(self, key: Hashable, entry: tuple[bytes, str]) -> None:
        with self._lock:
            self._entries[key] = entry
            self._size += len(entry[0]) + _OVERHEAD_BYTES
            while self._size > self._limit:
                _, (content, _) = self._entries.popitem(last=False)
                self._size -= len(content) + _OVERHEAD_BYTES
