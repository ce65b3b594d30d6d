"""Simulated places as data sets on disk."""
