"""Parse dates of clients: for lists, webhooks and commands."""

from __future__ import annotations

import datetime as dt

from django.utils.dateparse import parse_datetime


def moment_of(text: str) -> dt.datetime:
    """Parse ``text``, an ISO 8601 date and time with a time zone, into an aware datetime in UTC.

    Raises ValueError for anything else, also where the conversion to UTC overflows.
    """
    try:
        moment = parse_datetime(text)
        if moment is None or moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(text) from error
