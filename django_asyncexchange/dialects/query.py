"""Raw query strings as dialects read them: one parameter taken out, the rest left byte for byte."""

from __future__ import annotations

from urllib.parse import unquote_plus


def last(query: str, name: str) -> str | None:
    """The last value of the parameter ``name``, decoded, or None where it is absent."""
    values = [part.partition("=")[2] for part in query.split("&") if name_of(part) == name]
    return unquote_plus(values[-1]) if values else None


def without(query: str, name: str) -> str:
    """``query`` without the parameter ``name``, otherwise untouched."""
    return "&".join(part for part in query.split("&") if name_of(part) != name)


def name_of(part: str) -> str:
    """The decoded name in ``name=value``."""
    return unquote_plus(part.partition("=")[0])
