"""Read and change single parameters of a raw query string; the others are kept byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_plus, urlencode


def last(query: str, name: str) -> str | None:
    """The last value of the parameter ``name``, decoded, or None where it is absent."""
    values = [part.partition("=")[2] for part in query.split("&") if name_of(part) == name]
    return unquote_plus(values[-1]) if values else None


def without(query: str, name: str) -> str:
    """``query`` without the parameter ``name``, otherwise unchanged."""
    return "&".join(part for part in query.split("&") if name_of(part) != name)


def name_of(part: str) -> str:
    """The decoded name in ``name=value``."""
    return unquote_plus(part.partition("=")[0])


def appended(url: str, parameters: Mapping[str, str]) -> str:
    """``url`` without its fragment, and with ``parameters`` in its query, where they replace others of these names."""
    address, _, query = url.partition("#")[0].partition("?")
    own = [part for part in query.split("&") if part and name_of(part) not in parameters]
    return f"{address}?{'&'.join([*own, urlencode(parameters)])}"
