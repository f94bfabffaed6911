"""Encryption at rest (Fernet): of captured requests, and of secrets of webhooks.

The first of ``ENCRYPTION_KEYS`` encrypts, or where there is none a key derived from ``SECRET_KEY``. All of them
decrypt, those derived from ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` too: to rotate, put a new key in front, and drop
the old one when no unfinished task is older than that.
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
"""Binds the derived key to this use of it."""
PIECE = 256 * 1024
"""Bytes that are sealed at a time, at most."""


def seal(data: bytes) -> bytes:
    """``data`` encrypted and authenticated: one line of ASCII."""
    return _fernet().encrypt(data)


def unseal(token: bytes) -> bytes:
    """What ``seal`` was given. Raises cryptography's InvalidToken where no key fits or the token was changed."""
    return _fernet().decrypt(token)


def seal_secret(text: str) -> str:
    """``text`` encrypted and authenticated."""
    return seal(text.encode()).decode()


def unseal_secret(token: str) -> str:
    """What ``seal_secret`` was given; raises as ``unseal``."""
    return unseal(token.encode()).decode()


def known_secret(token: str) -> str | None:
    """What ``seal_secret`` was given; None where it was nothing, or the key is gone."""
    try:
        return unseal_secret(token) if token else None
    except InvalidToken:
        return None


def known_address(stored: str) -> str | None:
    """The address that is stored sealed, or in clear by an older version; None as above."""
    return stored if "://" in stored else known_secret(stored)


def sealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A stream of lines, each a sealed chunk or a piece of a large one: to seal takes several times its memory."""
    for chunk in chunks:
        for at in range(0, len(chunk), PIECE):
            yield seal(chunk[at : at + PIECE]) + b"\n"


def unsealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks that ``sealed`` was given, whatever the boundaries of the stored ones."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(unseal, lines)


def _fernet() -> MultiFernet:
    return _made_of(tuple(conf.ENCRYPTION_KEYS), conf.secret_keys)


@functools.lru_cache(maxsize=8)
def _made_of(own: tuple[str, ...], secrets: tuple[str, ...]) -> MultiFernet:
    """Made once: to derive a key takes longer than to seal a call with it."""
    return MultiFernet([Fernet(key) for key in (*own, *map(_derived, secrets))])


def _derived(key: str) -> str:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(made).decode()
