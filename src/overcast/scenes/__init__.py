"""From a SAR scene to georeferenced footprints."""
