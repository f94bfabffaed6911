"""Keyed digests of facts about a caller, made when a call is accepted and compared when it runs.

A stamp shows whether a fact has changed, and not the fact itself. It remains valid after a rotation of ``SECRET_KEY``
as long as the former key is in ``SECRET_KEY_FALLBACKS``.
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


def make(purpose: str, *facts: str) -> str:
    """The stamp of ``facts``. Stamps of different purposes never match."""
    return _make(purpose, facts, conf.secret_keys[0])


def matches(stamp: str, purpose: str, *facts: str) -> bool:
    """Whether ``stamp`` is one of ``facts``."""
    return any(constant_time_compare(stamp, _make(purpose, facts, key)) for key in conf.secret_keys)


def _make(purpose: str, facts: Iterable[str], key: str) -> str:
    text = json.dumps([*facts]).encode()
    return hashlib.blake2b(text, key=_derived(purpose, key), digest_size=32).hexdigest()  # keyed: RFC 7693, 2.5


@functools.lru_cache(maxsize=32)
def _derived(purpose: str, key: str) -> bytes:
    """A key as ``django.utils.crypto.salted_hmac`` derives it, cached."""
    return hashlib.sha256((SALT + purpose + key).encode()).digest()


def facts_of(row: models.Model, model: type[models.Model]) -> list[str]:
    """Constant facts that distinguish ``row`` from rows of every model and database.

    These are the model's label, the primary key, the natural key (of a user: the name) and the date of creation. Proxy
    models have the same.
    """
    natural = getattr(row, "natural_key", tuple)
    dates = (getattr(row, field.attname) for field in model._meta.concrete_fields if _is_creation_date(field))
    return [model._meta.label_lower, *map(_text, (row.pk, *natural(), *dates))]


def _is_creation_date(field: Any) -> bool:
    return getattr(field, "auto_now_add", False) or field.name == "date_joined"


def _text(fact: Any) -> str:
    is_aware = isinstance(fact, dt.datetime) and timezone.is_aware(fact)
    return fact.astimezone(dt.UTC).isoformat() if is_aware else str(fact)
