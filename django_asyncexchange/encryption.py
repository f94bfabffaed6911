"""Encryption at rest (Fernet) of captured requests and webhook secrets.

The first of ``ENCRYPTION_KEYS`` encrypts; without any, a key derived from ``SECRET_KEY`` does. All of them decrypt, and
so do the keys derived from ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``. To rotate, put a new key first, and remove the
old one when every task that was encrypted with it has finished.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Iterator

from cryptography.fernet import Fernet, MultiFernet
from cryptography.fernet import InvalidToken as InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .conf import conf

PURPOSE = b"django_asyncexchange.secrets"
"""HKDF ``info``: makes the derived key different from keys derived for other purposes."""
CHUNK_SIZE = 256 * 1024
"""Bytes that are encrypted at once, at most."""


def seal(data: bytes) -> bytes:
    """Encrypt and authenticate ``data``; return one line of ASCII."""
    return _fernet().encrypt(data)


def unseal(token: bytes) -> bytes:
    """Decrypt the output of ``seal``. Raises InvalidToken if no key fits or the token was changed."""
    return _fernet().decrypt(token)


def seal_secret(text: str) -> str:
    """Encrypt and authenticate ``text``."""
    return seal(text.encode()).decode()


def unseal_secret(token: str) -> str:
    """Decrypt the output of ``seal_secret``. Raises InvalidToken, as ``unseal``."""
    return unseal(token.encode()).decode()


def unseal_secret_or_none(token: str) -> str | None:
    """Decrypt the output of ``seal_secret``; None if ``token`` is empty or its key is lost."""
    try:
        return unseal_secret(token) if token else None
    except InvalidToken:
        return None


def unseal_address(stored: str) -> str | None:
    """Decrypt a stored URL; None if its key is lost. Older versions stored URLs in clear text."""
    return stored if "://" in stored else unseal_secret_or_none(stored)


def sealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Encrypt a stream: one line for each chunk, or for each part of a large one, because Fernet copies its input."""
    for chunk in chunks:
        for at in range(0, len(chunk), CHUNK_SIZE):
            yield seal(chunk[at : at + CHUNK_SIZE]) + b"\n"


def unsealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decrypt the output of ``sealed``. Its chunks may be cut anywhere."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(unseal, lines)


def _fernet() -> MultiFernet:
    return _multi_fernet(tuple(conf.ENCRYPTION_KEYS), conf.secret_keys)


@functools.lru_cache(maxsize=8)
def _multi_fernet(own: tuple[str, ...], secrets: tuple[str, ...]) -> MultiFernet:
    """Cached, because deriving a key takes longer than encrypting a request with it."""
    return MultiFernet([Fernet(key) for key in (*own, *map(_derive, secrets))])


def _derive(key: str) -> str:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(made).decode()
