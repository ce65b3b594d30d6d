"""Scenes as a data set: places of any size, read window by window on one grid each."""
