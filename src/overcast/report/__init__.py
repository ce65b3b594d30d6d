"""The report of an evaluation: one HTML file with charts, tables and pictures."""
