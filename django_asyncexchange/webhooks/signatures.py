"""Signs what webhooks are sent, as Standard Webhooks says (standardwebhooks.com), with that project's own library.

One door to the library, because it takes bytes and local times without a word and signs them wrongly.
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
"""Bytes of a new secret; the specification wants 24 to 64."""


def new_secret() -> str:
    """A secret as receivers are given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SIZE)).decode()


def sign(known: Sequence[str], *, id: str, at: dt.datetime, body: str) -> Headers:
    """The headers that prove who sent ``body``: one signature for each of the secrets ``known``."""
    if at.tzinfo is None or not isinstance(body, str):
        raise TypeError("an aware time and a text are signed, nothing else")
    moment = at.astimezone(dt.UTC)
    signatures = (Webhook(secret).sign(id, moment, body) for secret in known)
    return (
        ("webhook-id", id),
        ("webhook-timestamp", str(int(moment.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    )
