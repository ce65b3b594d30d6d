"""Types of what is counted: read from a file, they are what counting can give."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""Every one is a whole number in float64 too."""
Sum = Annotated[float, Field(allow_inf_nan=False)]
