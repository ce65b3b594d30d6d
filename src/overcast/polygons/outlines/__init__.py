"""Squared outlines whose shared walls stay shared."""
