"""Where addresses lead in the project's URLconf: whether ours lead to us, and entries of VIEWS anywhere."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, get_urlconf, resolve
from django.urls.resolvers import RegexPattern

from ..dialects.base import Dialect
from .settings import conf

APP = "asyncexchange"
ROOT = 'Write path("", include("django_asyncexchange.urls")) in the root URLconf'
LITERAL = re.compile(r"\^?((?:[^\\.^$*+?{}\[\]|()]|\\[^\w])*)")
"""How a regular expression begins, up to the first character that does not stand for itself."""
WILD = re.compile(r"[*?\[]")


class Address(NamedTuple):
    """An entry of the project's URLconf."""

    begin: str
    """How its path begins."""
    varies: bool
    """Whether it goes on."""
    name: str
    """With its namespaces."""
    view: Any


def dead(dialect: Dialect) -> tuple[str, str] | None:
    """(what is wrong, the cure) where an address of the mount does not lead to it; else None."""
    tables = [dialect.ROUTES, dialect.SUBSCRIPTIONS.ROUTES if dialect.SUBSCRIPTIONS else {}]
    for route in (route for table in tables for route in table.values()):
        path = f"{dialect.prefix}/{route.path.lstrip('/')}".replace("{id}", str(uuid.UUID(int=0)))
        try:
            match = resolve(path, get_urlconf())
        except Resolver404:
            return f"{path} leads nowhere.", f"{ROOT}: it does not work below another path, nor in i18n_patterns()."
        if APP not in match.app_names or not (match.url_name or "").startswith(f"{dialect.name}-"):
            return f"{path} leads to {_named(match.func)}.", f"{ROOT}, above what takes every address."
    return None


def _named(view: Any) -> str:
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def require_reachable(dialect: Dialect) -> None:
    """Raise ImproperlyConfigured where whoever was promised an answer could not ask for it. Asked once per URLconf."""
    fact = f"{dialect.name} is reachable in {get_urlconf()!r}"
    if conf.is_known(fact):
        return
    if wrong := dead(dialect):
        raise ImproperlyConfigured(f"The addresses of {dialect.name!r} are not in the URLconf: {wrong[0]} {wrong[1]}")
    conf.learn(fact)


def unknown(entry: str) -> str | None:
    """The cure where an entry of VIEWS is neither the name of a URL nor meets any path; else None."""
    if entry.startswith("/"):
        return None if _meets(entry) else "Write a path of the project with a leading slash, or the name of a URL."
    names = {address.name for address in addresses() if address.name}
    if entry in names:
        return None
    close = difflib.get_close_matches(entry, names, n=1)
    meant = f"Did you mean {close[0]!r}?" if close else "A name has its namespaces before it: 'reports:stock'."
    return f"{meant} Patterns are for paths, and begin with a slash."


def _meets(pattern: str) -> bool:
    """Whether some address may be meant: the letters that an address begins with are compared, up to what may vary."""
    if not WILD.search(pattern):
        try:
            resolve(pattern)
        except Resolver404:
            return False
        return True
    return any(_may_meet(pattern, address) for address in addresses())


def _may_meet(pattern: str, address: Address) -> bool:
    start = WILD.split(pattern)[0]
    return address.begin.startswith(start) or (address.varies and start.startswith(address.begin))


def may_be_listed(address: Address, entries: Sequence[str]) -> bool:
    """Whether some entry of VIEWS is meant for ``address``."""
    return any(_may_meet(each, address) if each.startswith("/") else each == address.name for each in entries)


def addresses() -> Iterator[Address]:
    """Those of the project, but for our own."""
    return _below(get_resolver(), "/", True, ())


def _below(resolver: URLResolver, begin: str, is_open: bool, spaces: tuple[str, ...]) -> Iterator[Address]:
    for each in resolver.url_patterns:
        literal, is_whole = _literal(each.pattern)
        text = begin + literal if is_open else begin
        if isinstance(each, URLPattern):
            name = ":".join((*spaces, each.name)) if each.name else ""
            yield Address(text, not (is_open and is_whole), name, each.callback)
        elif each.app_name != APP:
            inner = (*spaces, each.namespace) if each.namespace else spaces
            yield from _below(each, text, is_open and is_whole, inner)


def _literal(pattern: Any) -> tuple[str, bool]:
    """(the letters that ``pattern`` begins with, whether that is all of it)."""
    text = str(pattern)
    if isinstance(pattern, RegexPattern):
        found = LITERAL.match(text)
        letters = re.sub(r"\\(.)", r"\1", found[1]) if found else ""
        return letters, found is not None and text[found.end() :] in ("", "$", r"\Z")
    letters, angle, _ = text.partition("<")
    return letters, not angle
