"""References to ``request.auth`` without its secret, and ``request.auth`` loaded by them when the call runs.

Tokens that are rows (of Django REST framework, Django OAuth Toolkit, Knox) are loaded again. Of a token of Simple JWT
the claims are kept, which prove nothing without their signature.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from . import lookups

JWT = "jwt"
"""Prefix of a reference with claims; labels of models have a dot."""
SETTINGS = "rest_framework_simplejwt.settings.api_settings"


class IdentityLost(Exception):
    """The owner may not act any more: deactivated, deleted, replaced, or the token was revoked."""


def snapshot_auth(request: Any) -> str:
    """The default ``SNAPSHOT_AUTH``: a reference to ``request.auth``; ``""`` if it is of no supported kind."""
    auth: Any = getattr(request, "auth", None)
    if lookups.is_row(auth):
        known = f":{auth.pk}" if isinstance(auth._meta.pk, models.AutoField) else ""  # such a key is no secret
        return f"{auth._meta.label}:{_digest(auth)}{known}"
    return _claims_reference(auth)


def restore_auth(user: Any, reference: str) -> Any:
    """The default ``RESTORE_AUTH``: the token of ``reference``. Raises IdentityLost if it is deleted or expired."""
    label, _, rest = reference.partition(":")
    if label == JWT:
        return _token_of_claims(json.loads(rest))
    model = apps.get_model(label)
    digest, _, pk = rest.partition(":")
    token = next(
        (token for token in _candidates(model, user, pk) if constant_time_compare(_digest(token), digest)), None
    )
    if token is None or _is_expired(token):
        raise IdentityLost
    return token


def _candidates(model: type[models.Model], user: Any, pk: str) -> list[Any]:
    """The row with the primary key ``pk``, if given; else the rows of ``user``; else, without a user, all."""
    if pk:
        return lookups.find(model, "pk", model._meta.pk.to_python(pk))
    fields: Any = [field for field in model._meta.fields if field.related_model]
    keys = [field.attname for field in fields if isinstance(user, field.related_model)]
    if not keys:
        return list(model._default_manager.all())
    return [row for key in keys for row in lookups.find(model, key, user.pk)]


def _is_expired(token: Any) -> bool:
    """By its method ``is_expired`` (OAuth Toolkit) or its field ``expiry`` (Knox)."""
    if callable(getattr(token, "is_expired", None)):
        return bool(token.is_expired())
    expiry = getattr(token, "expiry", None)
    return expiry is not None and expiry < timezone.now()


def _claims_reference(auth: Any) -> str:
    """A reference with the claims of ``auth``, if it is a token of Simple JWT."""
    if "rest_framework_simplejwt.tokens" not in sys.modules:  # not imported, so no token is one of it
        return ""
    is_known = type(auth) in import_string(SETTINGS).AUTH_TOKEN_CLASSES
    return f"{JWT}:{json.dumps(auth.payload)}" if is_known else ""


def _token_of_claims(claims: dict[str, Any]) -> Any:
    """A token with ``claims``, without a signature. Raises IdentityLost if it is expired or blacklisted."""
    settings = import_string(SETTINGS)
    kind = claims.get(settings.TOKEN_TYPE_CLAIM)
    cls = next((cls for cls in settings.AUTH_TOKEN_CLASSES if kind == cls.token_type), None)
    if cls is None:
        raise IdentityLost
    token = cls()
    token.payload = claims
    try:
        token.verify()
    except import_string("rest_framework_simplejwt.exceptions.TokenError") as error:
        raise IdentityLost from error
    return token


def to_json(auth: Any, key: str) -> str:
    """``auth`` as JSON, if JSON can represent it and it does not contain the credential ``key``; else ``""``."""
    with suppress(TypeError, ValueError):
        text = json.dumps(auth)
        again = json.loads(text)
        secrets = {key, key.rpartition(":")[2]}  # of Basic authentication, also the password alone
        is_shown = any(secret in part for part in _leaves(again) for secret in secrets)
        if again == auth and type(again) is type(auth) and not is_shown:
            return text
    return ""


def from_json(text: str) -> Any:
    """The inverse of ``to_json()``. Raises IdentityLost for claims (RFC 7519) that are expired."""
    found = json.loads(text)
    expiry = found.get("exp") if isinstance(found, dict) else None
    if isinstance(expiry, int | float) and expiry < time.time():
        raise IdentityLost
    return found


def _leaves(found: Any) -> Iterator[str]:
    if isinstance(found, dict | list):
        for part in (*found, *found.values()) if isinstance(found, dict) else found:
            yield from _leaves(part)
    else:
        yield str(found)


def _digest(auth: models.Model) -> str:
    """A digest that identifies a token: the primary key of DRF's ``Token`` is the secret itself.

    Without SECRET_KEY, so that a rotation does not revoke queued calls. Tokens have too much entropy to be guessed.
    """
    return hashlib.sha256(f"{auth._meta.label}\0{auth.pk}".encode()).hexdigest()
