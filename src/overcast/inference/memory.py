"""Memory that is freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of mallopt(3) in the GNU C library."""
LARGE_BYTES = 16 * 2**20
KEPT_BYTES = 32 * 2**20
"""Free memory at the end of a heap that is kept, rather than returned and fetched again with every tile."""
ARENAS = 2
"""Heaps that all threads share: by default each thread has one of its own, with gaps of its own."""


def return_free_memory() -> None:
    """Give back what has been freed, now. Does nothing but on Linux with the GNU C library."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:  # another C library
        return


def bound_heaps() -> None:
    """Have the C library keep few gaps, so that what a network frees is really freed.

    Blocks of 16 MiB and more are mapped by themselves: by default that limit rises to the largest block freed so far,
    and the heap keeps gaps as large as feature maps, 5 % of the peak of a scene. All threads share two heaps. Does
    nothing but on Linux with the GNU C library.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(M_ARENA_MAX, ARENAS)
