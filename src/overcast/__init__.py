"""Overcast: train on co-registered optical and SAR images, map footprints from SAR alone."""

__version__ = "0.1.0"
