"""Messages as django-q2 puts them into its queues: pickled and signed."""

from __future__ import annotations

import zlib

from django.core.signing import BadSignature, TimestampSigner, b64_decode

from ..base import ENTRY_POINTS


def freshly_signed(payload: str | bytes) -> str | bytes:
    """``payload``, signed again with SECRET_KEY if it was signed with one of SECRET_KEY_FALLBACKS.

    django-q2 knows SECRET_KEY only, and drops messages of other keys.
    """
    from django_q.conf import Conf

    signer = TimestampSigner(key=Conf.SECRET_KEY, salt=Conf.PREFIX)
    if not signer.fallback_keys:
        return payload
    try:
        return signer.sign(signer.unsign(payload.decode() if isinstance(payload, bytes) else payload))
    except (BadSignature, ValueError):
        return payload


def is_run(payload: str | bytes) -> bool:
    """Whether the message is one of the job ``run``. Nothing is unpickled: messages of others may be in the queue."""
    text = payload.encode() if isinstance(payload, str) else payload
    pickled = text.partition(b":")[0]
    try:
        data = zlib.decompress(b64_decode(pickled[1:])) if pickled[:1] == b"." else b64_decode(pickled)
    except (ValueError, zlib.error):
        return False
    return ENTRY_POINTS["run"].encode() in data
