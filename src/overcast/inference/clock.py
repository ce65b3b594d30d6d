"""The time that outputs carry; SOURCE_DATE_EPOCH (https://reproducible-builds.org) fixes it, so bytes can repeat."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def fixed_now() -> datetime | None:
    """The time of SOURCE_DATE_EPOCH; None where it is not set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return None if epoch is None else datetime.fromtimestamp(int(epoch), UTC)


def precise_text(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as GeoPackage has it.

    >>> precise_text(datetime(2026, 1, 2, tzinfo=UTC))
    '2026-01-02T00:00:00.000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
