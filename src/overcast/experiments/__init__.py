"""Benchmarks, comparisons of runs, speed, and the demo."""
