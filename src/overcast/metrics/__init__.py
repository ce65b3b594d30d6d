"""What is counted and measured: pixels, boundaries, instances, average precision, PoLiS, calibration."""
