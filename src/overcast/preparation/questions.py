"""Everything that has to be stated, asked at once instead of one question a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from overcast.errors import RadiometryError

Answer = TypeVar("Answer")


class Questions:
    """What could not be decided so far."""

    def __init__(self) -> None:
        self._asked: dict[str, None] = {}

    def answer(self, decide: Callable[[], Answer]) -> Answer | None:
        """What is decided; None, and a question, where a RadiometryError says that something is not known."""
        try:
            return decide()
        except RadiometryError as error:
            self._asked[str(error).rstrip(".")] = None
            return None

    @property
    def any(self) -> bool:
        """True where something was asked."""
        return bool(self._asked)

    def settle(self) -> None:
        """Raise one RadiometryError with all questions, where there are any."""
        if len(self._asked) > 1:
            listed = "; ".join(f"({number}) {text}" for number, text in enumerate(self._asked, 1))
            raise RadiometryError(f"{len(self._asked)} things have to be stated: {listed}.")
        for text in self._asked:
            raise RadiometryError(f"{text}.")
