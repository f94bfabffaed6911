"""The default dialect: ``Prefer: respond-async`` (RFC 7240)."""

from __future__ import annotations

from .dialect import Prefer as Prefer
