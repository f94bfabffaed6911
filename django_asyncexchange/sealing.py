"""Encryption at rest (Fernet): captured requests where ``ENCRYPTION_KEYS`` is set, secrets of webhooks always.

The first key encrypts, all of them decrypt: to rotate, put a new one in front and drop the old one a window later.
Without keys of their own, secrets are sealed with one that is derived from ``SECRET_KEY``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .conf import conf

PURPOSE = b"django_asyncexchange.secrets"
"""Binds the derived key to this use of it."""


def is_on() -> bool:
    """Whether the project encrypts what it captures."""
    return bool(conf.ENCRYPTION_KEYS)


def seal(data: bytes) -> bytes:
    """``data`` encrypted and authenticated: one line of ASCII."""
    return _fernet(conf.ENCRYPTION_KEYS).encrypt(data)


def unseal(token: bytes) -> bytes:
    """What ``seal`` was given. Raises cryptography's InvalidToken where no key fits or the token was changed."""
    return _fernet(conf.ENCRYPTION_KEYS).decrypt(token)


def seal_secret(text: str) -> str:
    """``text`` encrypted and authenticated, whether the project has keys for that or not."""
    return _fernet(_secret_keys()).encrypt(text.encode()).decode()


def unseal_secret(token: str) -> str:
    """What ``seal_secret`` was given; raises as ``unseal``."""
    return _fernet(_secret_keys()).decrypt(token.encode()).decode()


def known_secret(token: str) -> str | None:
    """What ``seal_secret`` was given; None where it was nothing, or the key is gone."""
    try:
        return unseal_secret(token) if token else None
    except InvalidToken:
        return None


def sealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A stream of lines, each a sealed chunk: nothing is ever held but one of them."""
    return (seal(chunk) + b"\n" for chunk in chunks)


def unsealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks that ``sealed`` was given, whatever the boundaries of the stored ones."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(unseal, lines)


def _fernet(keys: Iterable[str]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _secret_keys() -> list[str]:
    return [*conf.ENCRYPTION_KEYS, *(_derived(key) for key in conf.secret_keys)]


def _derived(key: str) -> str:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(made).decode()
