"""Models that a name is enough for: those of the package and those that a user has added; chosen, added, shared."""
