"""ASGI's connection scope: what is captured of it, and the scope of a run (ASGI specification, HTTP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ..protocol.values import Request

UNCHANGED = ("http_version", "path", "root_path")
"""Captured unchanged; ``method``, ``scheme``, ``query_string`` and ``headers`` are captured for WSGI, too."""
ADDRESSES = ("client", "server")
SAFE = "/:@!$&'()*+,;=~"
"""Characters of a path that need no percent-encoding (RFC 3986 section 3.3)."""


def headers(scope: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The header fields in order; names in the case that WSGI has."""
    return ((name.decode("latin-1").title(), text.decode("latin-1")) for name, text in scope.get("headers", ()))


def captured(scope: Mapping[str, Any], below: str, target: str) -> dict[str, Any]:
    """What JSON can represent of ``scope``, with ``target`` in place of ``below`` at the end of its path.

    Without what belongs to one connection, as ``extensions`` and ``state``.
    """
    kept = {name: scope[name] for name in UNCHANGED if name in scope}
    kept["asgi"] = {name: text for name, text in scope.get("asgi", {}).items() if isinstance(text, str)}
    kept |= {name: list(scope[name]) if scope[name] else None for name in ADDRESSES if name in scope}
    if (raw := scope.get("raw_path")) is not None:
        kept["raw_path"] = raw.decode("latin-1")
    if target != below:
        kept["path"] = scope["path"].removesuffix(below) + target
    if target != below and "raw_path" in kept:
        kept["raw_path"] = quote(kept["path"], safe=SAFE)
    return kept


def build(call: Request) -> dict[str, Any]:
    """The scope for the run of a call that came by ASGI."""
    scope = {**(call.scope or {})}
    scope |= {name: tuple(scope[name]) if scope[name] else None for name in ADDRESSES if name in scope}
    if "raw_path" in scope:
        scope["raw_path"] = scope["raw_path"].encode("latin-1")
    return {
        "type": "http",
        **scope,
        "method": call.method,
        "scheme": call.scheme,
        "query_string": call.query.encode("latin-1"),
        "headers": [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in call.headers],
    }
