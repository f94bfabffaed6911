"""Webhook signatures as Standard Webhooks specifies them (standardwebhooks.com), by that project's own library.

Only this module imports the library, because it silently signs bytes and naive datetimes wrongly.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from collections.abc import Sequence

from standardwebhooks import Webhook

from ..protocol.values import Headers

PREFIX = "whsec_"
SIZE = 32
"""Bytes of a new secret; the specification requires 24 to 64."""


def new_secret() -> str:
    """Return a random secret, in the format that receivers configure (``whsec_…``)."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SIZE)).decode()


def sign(known: Sequence[str], *, id: str, at: dt.datetime, body: str) -> Headers:
    """Return the signature headers of a message: one signature for each secret in ``known``.

    Raises TypeError for a naive ``at`` or a ``body`` that is not a string.
    """
    if at.tzinfo is None or not isinstance(body, str):
        raise TypeError("sign() takes an aware datetime and a string")
    moment = at.astimezone(dt.UTC)
    signatures = (Webhook(secret).sign(id, moment, body) for secret in known)
    return (
        ("webhook-id", id),
        ("webhook-timestamp", str(int(moment.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    )
