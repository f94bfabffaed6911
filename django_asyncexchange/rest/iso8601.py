"""Moments as clients write them: one parser for lists, webhooks and commands."""

from __future__ import annotations

import datetime as dt

from django.utils.dateparse import parse_datetime


def moment_of(text: str) -> dt.datetime:
    """``text`` in ISO 8601, with its time zone, as a moment in UTC.

    Raises ValueError for anything else: no date of the calendar, none with a zone, or none in UTC.
    """
    try:
        moment = parse_datetime(text)
        if moment is None or moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(text) from error
