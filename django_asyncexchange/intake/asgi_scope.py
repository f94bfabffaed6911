"""ASGI's connection scope: what is kept of it with a call, and what a run is given (ASGI specification, HTTP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ..protocol.values import Request

TOLD = ("http_version", "path", "root_path")
"""What is kept as it is; ``method``, ``scheme``, ``query_string`` and ``headers`` are kept with every call."""
ENDS = ("client", "server")
UNESCAPED = "/:@!$&'()*+,;=~"
"""Characters of a path that need no escape (RFC 3986 section 3.3)."""


def headers(scope: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The header lines, in order; names as WSGI spells them."""
    return ((name.decode("latin-1").title(), text.decode("latin-1")) for name, text in scope.get("headers", ()))


def said(scope: Mapping[str, Any], below: str, target: str) -> dict[str, Any]:
    """What JSON can keep of ``scope``; its path ends in ``below``, and shall end in ``target``.

    What the server offers for one connection, as ``extensions`` and ``state``, is not the run's.
    """
    kept = {name: scope[name] for name in TOLD if name in scope}
    kept["asgi"] = {name: text for name, text in scope.get("asgi", {}).items() if isinstance(text, str)}
    kept |= {name: list(scope[name]) if scope[name] else None for name in ENDS if name in scope}
    if (raw := scope.get("raw_path")) is not None:
        kept["raw_path"] = raw.decode("latin-1")
    if target != below:
        kept["path"] = scope["path"].removesuffix(below) + target
    if target != below and "raw_path" in kept:
        kept["raw_path"] = quote(kept["path"], safe=UNESCAPED)
    return kept


def made(call: Request) -> dict[str, Any]:
    """The scope of a call that came by ASGI."""
    scope = {**(call.scope or {})}
    scope |= {name: tuple(scope[name]) if scope[name] else None for name in ENDS if name in scope}
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
