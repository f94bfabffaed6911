"""The messages of django-q2, as they lie in its queues: a pickle, signed."""

from __future__ import annotations

import zlib

from django.core.signing import BadSignature, TimestampSigner, b64_decode
from django_q.conf import Conf

from ..base import ENTRY_POINTS


def freshly_signed(payload: str | bytes) -> str | bytes:
    """``payload``, signed with today's SECRET_KEY if one of SECRET_KEY_FALLBACKS has signed it: django-q2 knows only
    the one, and throws others away.
    """
    signer = TimestampSigner(key=Conf.SECRET_KEY, salt=Conf.PREFIX)
    if not signer.fallback_keys:
        return payload
    try:
        return signer.sign(signer.unsign(payload.decode() if isinstance(payload, bytes) else payload))
    except (BadSignature, ValueError):
        return payload


def is_run(payload: str | bytes) -> bool:
    """Whether it wants a call to be run. Nothing is unpickled for that: it may be anybody's."""
    text = payload.encode() if isinstance(payload, str) else payload
    pickled = text.partition(b":")[0]
    try:
        data = zlib.decompress(b64_decode(pickled[1:])) if pickled[:1] == b"." else b64_decode(pickled)
    except (ValueError, zlib.error):
        return False
    return ENTRY_POINTS["run"].encode() in data
