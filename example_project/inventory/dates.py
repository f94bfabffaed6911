"""Dates on the wire: the project's zone, without an offset."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

DAY = "%Y-%m-%d"
SECOND = "%Y-%m-%d %H:%M:%S"


def wire_date(moment: dt.datetime) -> str:
    """``moment`` as this API writes it."""
    return timezone.localtime(moment).strftime(SECOND)


def read_date(text: str) -> dt.datetime:
    """The moment that ``text`` names, with or without a time. Raises ValueError."""
    moment = dt.datetime.strptime(text, SECOND if " " in text else DAY)
    try:
        return timezone.make_aware(moment).astimezone(dt.UTC)
    except OverflowError as error:  # the first or the last hours of all time, elsewhere
        raise ValueError from error
