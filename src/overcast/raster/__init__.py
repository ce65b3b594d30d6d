"""Raster files from anywhere: which drivers may open them, and what else they may make GDAL open."""
