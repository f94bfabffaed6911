"""Messages as django-q2 puts them into its queues: pickled and signed."""

from __future__ import annotations

from django.core.signing import BadSignature, TimestampSigner


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
