"""Regular expressions of users, tried on names with a limit of time: some need more steps than there are atoms."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence

from overcast.errors import InputError
from overcast.reading import first_line, quoted

LONGEST_PATTERN = 500
LIMIT_S = 10.0
"""Ordinary patterns need milliseconds for thousands of names."""
_CHILD = """
import json, re, sys
pattern, group, names = json.load(sys.stdin)
found = [re.search(pattern, name) for name in names]
json.dump([match and match.group(group) for match in found], sys.stdout)
"""


def check_pattern(pattern: str, group: str) -> str:
    """The pattern. Raises ValueError where it is none, or has no such group."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"the pattern has {len(pattern)} characters, more than {LONGEST_PATTERN}")
    try:
        with warnings.catch_warnings(action="ignore"):
            groups = re.compile(pattern).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {first_line(error)}") from error
    if group not in groups:
        raise ValueError(f"the pattern needs a group (?P<{group}>...)")
    return pattern


def search_names(pattern: str, group: str, names: Sequence[str]) -> list[str | None]:
    """What a group matches in each name, None where the pattern is not found.

    Nothing inside a process can stop a regular expression that backtracks without end, and no rule on its form refuses
    all of these and no other: a process of its own searches, which ends with the limit.

    Raises InputError where it takes longer than `LIMIT_S`.
    """
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD]
    task = json.dumps([pattern, group, list(names)])
    try:
        done = subprocess.run(command, input=task, capture_output=True, text=True, timeout=LIMIT_S, check=True)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise InputError(
            f"place_pattern {quoted(pattern)} needs more than {LIMIT_S:g} s for {len(names)} names; write it without "
            "repetitions inside repetitions."
        ) from None
    found: list[str | None] = json.loads(done.stdout)
    return found
