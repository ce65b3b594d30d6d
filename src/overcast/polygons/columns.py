"""Frozen dataclasses whose fields are arrays of one length: their rows, chosen and joined."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Table = TypeVar("Table")


def sums(group: NDArray[np.integer], values: NDArray[np.generic], count: int) -> NDArray[np.float64]:
    """(count,) sums by group, each in the order of its values: no group's sum depends on another."""
    return np.asarray(np.bincount(group, values, count), np.float64)


def rows(table: Table, at: NDArray[np.generic]) -> Table:
    """The rows at an index or mask."""
    columns: dict[str, Any] = {field.name: getattr(table, field.name)[at] for field in _fields(table)}
    return type(table)(**columns)


def joined(tables: list[Table]) -> Table:
    """The rows of tables, one after the other."""
    columns: dict[str, Any] = {
        field.name: np.concatenate([getattr(table, field.name) for table in tables]) for field in _fields(tables[0])
    }
    return type(tables[0])(**columns)


def _fields(table: Any) -> Any:
    return fields(table)
