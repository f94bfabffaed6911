"""Time zones as strings: names of the IANA database, or fixed offsets."""

from __future__ import annotations

import contextlib
import datetime as dt
import zoneinfo


def named(zone: dt.tzinfo) -> str:
    """``zone`` as a string for ``zone_of``; ``""`` for a custom ``tzinfo`` class.

    >>> named(dt.timezone(dt.timedelta(hours=-3), "BRT"))
    '-10800 BRT'
    """
    name = zone.tzname(None) or str(zone)
    if not isinstance(zone, dt.timezone):
        with contextlib.suppress(ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            return zoneinfo.ZoneInfo(name).key
    offset = zone.utcoffset(None)
    return "" if offset is None else f"{offset.total_seconds():+g} {name}"


def zone_of(text: str) -> dt.tzinfo:
    """The time zone of a string made by ``named``. Raises ZoneInfoNotFoundError for an unknown name."""
    if text[:1] not in ("+", "-"):
        return zoneinfo.ZoneInfo(text)
    seconds, _, name = text.partition(" ")
    return dt.timezone(dt.timedelta(seconds=float(seconds)), name)
