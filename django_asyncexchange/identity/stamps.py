"""Keyed marks of facts that are true when a call is accepted, and have to be true when it runs.

A stamp shows whether something has changed without showing what it was. It outlives a rotation of ``SECRET_KEY`` for as
long as the former key is among ``SECRET_KEY_FALLBACKS``.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from ..conf import conf

SALT = "django_asyncexchange.stamps."


def made(purpose: str, *facts: str) -> str:
    """The stamp of ``facts``; one of another purpose never fits."""
    return _made(purpose, facts, conf.secret_keys[0])


def fits(stamp: str, purpose: str, *facts: str) -> bool:
    """Whether ``stamp`` was made of these facts."""
    return any(constant_time_compare(stamp, _made(purpose, facts, key)) for key in conf.secret_keys)


def _made(purpose: str, facts: Iterable[str], key: str) -> str:
    text = json.dumps([*facts]).encode()
    return hashlib.blake2b(text, key=_derived(purpose, key), digest_size=32).hexdigest()  # keyed: RFC 7693, 2.5


@functools.lru_cache(maxsize=32)
def _derived(purpose: str, key: str) -> bytes:
    """As ``salted_hmac`` derives it, once."""
    return hashlib.sha256((SALT + purpose + key).encode()).digest()


def facts_of(row: models.Model, model: type[models.Model]) -> list[str]:
    """What tells ``row`` of ``model`` from every other one, of whatever database, and stays: its model, its key, its
    natural key (a user's name), and when it was made. A proxy of the row has the same.
    """
    natural = getattr(row, "natural_key", tuple)
    dates = (getattr(row, field.attname) for field in model._meta.concrete_fields if _tells_the_beginning(field))
    return [model._meta.label_lower, *map(_said, (row.pk, *natural(), *dates))]


def _tells_the_beginning(field: Any) -> bool:
    return getattr(field, "auto_now_add", False) or field.name == "date_joined"


def _said(fact: Any) -> str:
    is_aware = isinstance(fact, dt.datetime) and timezone.is_aware(fact)
    return fact.astimezone(dt.UTC).isoformat() if is_aware else str(fact)
