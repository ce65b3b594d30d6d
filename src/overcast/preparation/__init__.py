"""What users have, turned into a scene that a model accepts: bands, unit, grid and radar side, declared in it."""
