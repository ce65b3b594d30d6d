"""Places that tests need: this checkout, its benchmarks, and the files that tests read."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SUPPORT = TESTS / "support"
FIXTURES = TESTS / "fixtures"
IMPORTABLE = (TESTS, SUPPORT, *sorted({path.parent for path in TESTS.rglob("test_*.py")}))
"""Folders whose modules tests import, also in processes that they start."""
