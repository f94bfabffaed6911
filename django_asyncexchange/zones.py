"""Time zones as texts: by their names in the IANA database, or fixed offsets, which have none there."""

from __future__ import annotations

import datetime as dt
import zoneinfo


def named(zone: dt.tzinfo) -> str:
    """``zone`` as ``zone_of`` reads it; ``""`` for one that only the project can make.

    >>> named(dt.timezone(dt.timedelta(hours=-3), "BRT"))
    '-10800 BRT'
    """
    if isinstance(zone, dt.timezone):
        return f"{zone.utcoffset(None).total_seconds():+g} {zone.tzname(None)}"
    name = zone.tzname(None) or str(zone)
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return ""
    return name


def zone_of(text: str) -> dt.tzinfo:
    """The time zone that ``text`` names. Raises ZoneInfoNotFoundError for none."""
    if text[:1] not in ("+", "-"):
        return zoneinfo.ZoneInfo(text)
    seconds, _, name = text.partition(" ")
    return dt.timezone(dt.timedelta(seconds=float(seconds)), name)
