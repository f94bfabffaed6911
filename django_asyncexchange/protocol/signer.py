"""Signatures over short texts: HMAC-SHA256, hexadecimal, constant-time comparison. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs with the first key and accepts any of them, so that a key can be rotated.

    ``salt`` separates purposes: a signature made with one salt is invalid with another.
    """

    keys: tuple[str, ...]
    salt: str

    def sign(self, text: str) -> str:
        """The signature of ``text``: 64 hexadecimal digits."""
        return self._digest(self.keys[0], text)

    def verify(self, text: str, signature: str) -> bool:
        """Whether ``signature`` is valid for ``text`` with one of the keys."""
        given = signature.encode("utf-8", "replace")
        return any(hmac.compare_digest(self._digest(key, text).encode(), given) for key in self.keys)

    def _digest(self, key: str, text: str) -> str:
        derived = hashlib.sha256(f"{self.salt}\0{key}".encode()).digest()
        return hmac.new(derived, text.encode(), hashlib.sha256).hexdigest()
