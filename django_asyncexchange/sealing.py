"""Captured requests encrypted at rest, where ``ENCRYPTION_KEYS`` is set (the ``encryption`` extra: Fernet).

The first key encrypts, all of them decrypt: to rotate, put a new one in front and drop the old one a window later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .conf import conf


def is_on() -> bool:
    """Whether the project encrypts what it captures."""
    return bool(conf.ENCRYPTION_KEYS)


def seal(data: bytes) -> bytes:
    """``data`` encrypted and authenticated: one line of ASCII."""
    token: bytes = _fernet().encrypt(data)
    return token


def unseal(token: bytes) -> bytes:
    """What ``seal`` was given. Raises cryptography's InvalidToken where no key fits or the token was changed."""
    data: bytes = _fernet().decrypt(token)
    return data


def sealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A stream of lines, each a sealed chunk: nothing is ever held but one of them."""
    return (seal(chunk) + b"\n" for chunk in chunks)


def unsealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks that ``sealed`` was given, whatever the boundaries of the stored ones."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(unseal, lines)


def _fernet() -> Any:
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in conf.ENCRYPTION_KEYS])
