"""Raw query strings as dialects read and write them: some parameters touched, the rest left byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_plus, urlencode


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


def appended(url: str, parameters: Mapping[str, str]) -> str:
    """``url`` with ``parameters`` at the end of its query: the only ones of these names, and no fragment behind."""
    address, _, query = url.partition("#")[0].partition("?")
    own = [part for part in query.split("&") if part and name_of(part) not in parameters]
    return f"{address}?{'&'.join([*own, urlencode(parameters)])}"
