"""What ``request.auth`` was, remembered without a secret, and fetched anew when the call runs.

Rows of a model are found again (Django REST framework's own tokens, Django OAuth Toolkit's, Knox's); of a JWT of
Simple JWT the claims are kept, which prove nothing without their signature.
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
"""How a reference to claims begins; every model's label has a dot."""
SETTINGS = "rest_framework_simplejwt.settings.api_settings"


class IdentityLost(Exception):
    """The owner may not act any more: deactivated, deleted, somebody else, or the token was revoked."""


def snapshot_auth(request: Any) -> str:
    """The default ``SNAPSHOT_AUTH``: which token object ``request.auth`` is; ``""`` where that cannot be said."""
    auth: Any = getattr(request, "auth", None)
    if lookups.is_row(auth):
        known = f":{auth.pk}" if isinstance(auth._meta.pk, models.AutoField) else ""  # such a key is no secret
        return f"{auth._meta.label}:{_digest(auth)}{known}"
    return _jwt(auth)


def restore_auth(user: Any, reference: str) -> Any:
    """The default ``RESTORE_AUTH``: that token object. Raises IdentityLost if it is gone, revoked or expired."""
    label, _, rest = reference.partition(":")
    if label == JWT:
        return _jwt_again(json.loads(rest))
    model = apps.get_model(label)
    digest, _, pk = rest.partition(":")
    token = next(
        (token for token in _candidates(model, user, pk) if constant_time_compare(_digest(token), digest)), None
    )
    if token is None or _is_expired(token):
        raise IdentityLost
    return token


def _candidates(model: type[models.Model], user: Any, pk: str) -> list[Any]:
    """The row of that key, where it is known; else the user's rows; else, of a token that is nobody's, all."""
    if pk:
        return lookups.found(model, "pk", model._meta.pk.to_python(pk))
    fields: Any = [field for field in model._meta.fields if field.related_model]
    keys = [field.attname for field in fields if isinstance(user, field.related_model)]
    if not keys:
        return list(model._default_manager.all())
    return [row for key in keys for row in lookups.found(model, key, user.pk)]


def _is_expired(token: Any) -> bool:
    """By its own method (OAuth Toolkit), or its date (Knox, which deletes one that is used too late)."""
    if callable(getattr(token, "is_expired", None)):
        return bool(token.is_expired())
    expiry = getattr(token, "expiry", None)
    return expiry is not None and expiry < timezone.now()


def _jwt(auth: Any) -> str:
    """The claims of ``auth``, if it is a token as Simple JWT makes it of a request's."""
    if "rest_framework_simplejwt.tokens" not in sys.modules:  # what nobody has imported, no token comes from
        return ""
    is_known = type(auth) in import_string(SETTINGS).AUTH_TOKEN_CLASSES
    return f"{JWT}:{json.dumps(auth.payload)}" if is_known else ""


def _jwt_again(claims: dict[str, Any]) -> Any:
    """A token with these claims, without a signature. Raises IdentityLost if it has expired or was revoked."""
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


def plain(found: Any, key: str) -> str:
    """``found`` as JSON, if it is that, and no part of it shows the credential ``key``; else ``""``."""
    with suppress(TypeError, ValueError):
        text = json.dumps(found)
        again = json.loads(text)
        secrets = {key, key.rpartition(":")[2]}  # of Basic, the password too
        is_shown = any(secret in part for part in _parts(again) for secret in secrets)
        if again == found and type(again) is type(found) and not is_shown:
            return text
    return ""


def plain_again(text: str) -> Any:
    """What that was. Raises IdentityLost for claims (RFC 7519) that have expired."""
    found = json.loads(text)
    expiry = found.get("exp") if isinstance(found, dict) else None
    if isinstance(expiry, int | float) and expiry < time.time():
        raise IdentityLost
    return found


def _parts(found: Any) -> Iterator[str]:
    if isinstance(found, dict | list):
        for part in (*found, *found.values()) if isinstance(found, dict) else found:
            yield from _parts(part)
    else:
        yield str(found)


def _digest(auth: models.Model) -> str:
    """Names a token without its value: DRF's own ``Token`` has the secret itself as primary key.

    Not keyed with SECRET_KEY, so that a rotation does not revoke what is queued; a token is no text to be guessed.
    """
    return hashlib.sha256(f"{auth._meta.label}\0{auth.pk}".encode()).hexdigest()
