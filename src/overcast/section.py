"""The base of every part of a configuration and of every record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, without unknown keys; the text below an attribute describes it in a schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
