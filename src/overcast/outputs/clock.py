"""The time that outputs carry; SOURCE_DATE_EPOCH (https://reproducible-builds.org) fixes it, so bytes can repeat."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from overcast.errors import ConfigError

_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_DIGITS = len(str(_LATEST))


def fixed_now() -> datetime | None:
    """The time of SOURCE_DATE_EPOCH; None where it is not set or empty.

    Raises ConfigError where it is not a whole number of seconds since 1970, of a year up to 9999.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return None
    if not (epoch.isascii() and epoch.isdigit() and len(epoch) <= _DIGITS and int(epoch) <= _LATEST):
        raise ConfigError(
            f"SOURCE_DATE_EPOCH is {epoch[:40]!r}, not a number of seconds since 1970; correct it, or unset it."
        )
    return datetime.fromtimestamp(int(epoch), UTC)


def precise_text(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as GeoPackage has it.

    >>> precise_text(datetime(2026, 1, 2, tzinfo=UTC))
    '2026-01-02T00:00:00.000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
