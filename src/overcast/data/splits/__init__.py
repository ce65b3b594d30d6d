"""Splits by ground, how they are read and written, and what training and test have in common."""
