"""What the bench writes its scene as."""

from enum import StrEnum


class Storage(StrEnum):
    """How the blocks of a scene's file are stored. `overcast prepare` stores them as they are."""

    DEFLATE = "deflate"
    NONE = "none"
