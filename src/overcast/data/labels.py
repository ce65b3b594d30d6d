"""Labels: which mask values mean what, footprints drawn onto a grid, and no label where the radar saw nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelSpec:
    """Meaning of mask values. Any other value in a mask is an error."""

    foreground: int = 1
    """Value of the class."""
    background: int = 0
    ignore: int | None = None
    """Value of pixels that do not count; None where the masks have none."""

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"label values must differ, got {list(self.values)}")

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that a mask may hold."""
        known = (self.background, self.foreground)
        return known if self.ignore is None else (*known, self.ignore)
