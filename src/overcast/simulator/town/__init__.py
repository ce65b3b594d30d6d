"""Towns of given footprints."""
