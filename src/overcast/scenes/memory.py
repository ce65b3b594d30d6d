"""Memory that is freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD = -3
"""Parameter of mallopt(3) in the GNU C library."""
LARGE_BYTES = 16 * 2**20


def return_free_memory() -> None:
    """Give back what has been freed, now. Does nothing but on Linux with the GNU C library."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:  # another C library
        return


def return_large_blocks() -> None:
    """Let the C library map blocks of 16 MiB and more by themselves, so that what a network frees is really freed.

    By default the limit rises to the largest block freed so far, and the heap keeps gaps as large as feature maps:
    5 % of the peak of a scene. Does nothing but on Linux with the GNU C library.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    except AttributeError:  # another C library
        return
