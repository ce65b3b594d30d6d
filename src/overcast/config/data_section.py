"""What every section of the configuration has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from overcast.raster.units import Standardise
from overcast.section import Section

AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""Relative paths are taken from the working directory and written out in full."""


def with_default(values: Any, section: str, key: str, value: str) -> Any:
    """`values` with a choice filled in where the section is given without it."""
    given = values.get(section) if isinstance(values, dict) else None
    return values | {section: {key: value} | given} if isinstance(given, dict) else values


class DataSection(Section):
    """What every data set has."""

    standardise: Standardise | None = None
    """`scene`: radar images are standardised each by itself, see `SensorRadiometry`; `dataset`: by the training data;
    null: as the data set declares."""
    label_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the labelled training places that keep their labels; the others are trained on as if nobody had mapped
    them. For studies of few labels."""
    label_seed: int | None = Field(default=None, ge=0, lt=2**31)
    """Seed of that choice; null: that of the training."""

    @model_validator(mode="before")
    @classmethod
    def _split_by_default(cls, values: Any) -> Any:
        """A split that is given without its rule is by the default one."""
        split = cls.model_fields.get("split")
        return values if split is None else with_default(values, "split", "by", split.default.by)
