"""Time zones as texts: by their names in the IANA database, or fixed offsets, which have none there."""

from __future__ import annotations

import contextlib
import datetime as dt
import zoneinfo


def named(zone: dt.tzinfo) -> str:
    """``zone`` as ``zone_of`` reads it; ``""`` for one that only the project can make.

    >>> named(dt.timezone(dt.timedelta(hours=-3), "BRT"))
    '-10800 BRT'
    """
    name = zone.tzname(None) or str(zone)
    if not isinstance(zone, dt.timezone):  # which may call itself anything
        with contextlib.suppress(ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            return zoneinfo.ZoneInfo(name).key
    offset = zone.utcoffset(None)
    return "" if offset is None else f"{offset.total_seconds():+g} {name}"


def zone_of(text: str) -> dt.tzinfo:
    """The time zone that ``text`` names. Raises ZoneInfoNotFoundError for none."""
    if text[:1] not in ("+", "-"):
        return zoneinfo.ZoneInfo(text)
    seconds, _, name = text.partition(" ")
    return dt.timezone(dt.timedelta(seconds=float(seconds)), name)
