"""Dates of the API: in the project's time zone, without an offset."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

DAY = "%Y-%m-%d"
SECOND = "%Y-%m-%d %H:%M:%S"


def wire_date(moment: dt.datetime) -> str:
    """Format ``moment``."""
    return timezone.localtime(moment).strftime(SECOND)


def read_date(text: str) -> dt.datetime:
    """Parse ``text``, a date with or without a time. Raises ValueError."""
    moment = dt.datetime.strptime(text, SECOND if " " in text else DAY)
    try:
        return timezone.make_aware(moment).astimezone(dt.UTC)
    except OverflowError as error:  # at the limits of datetime
        raise ValueError from error
