"""What a drafted description leaves open, and how that is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

OPEN = "STATE_THIS"
"""Stands in a drafted description where a value must be given."""


def _require_stated(text: str) -> str:
    if text == OPEN:
        raise ValueError(f"{OPEN} was left in a drafted description; write what is true of your data")
    return text


Stated = Annotated[str, AfterValidator(_require_stated)]
"""Text that is refused as long as it is the one of a draft."""
