"""Values that may be missing in general, but not in a test."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """The value itself; a test whose value is None fails here."""
    assert value is not None
    return value
