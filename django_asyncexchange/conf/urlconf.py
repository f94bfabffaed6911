"""The project's URLconf: whether our endpoints are reachable, and which URLs the entries of ``VIEWS`` match."""

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
"""The literal start of a regular expression."""
WILD = re.compile(r"[*?\[]")


class Address(NamedTuple):
    """A URL pattern of the project."""

    prefix: str
    """The literal start of its path."""
    is_variable: bool
    """Whether something variable follows ``prefix``."""
    name: str
    """The URL name with its namespaces; ``""`` if it has none."""
    view: Any


def unreachable(dialect: Dialect) -> tuple[str, str] | None:
    """(message, hint) if a URL of the mount does not resolve to it, else None."""
    tables = [dialect.ROUTES, dialect.SUBSCRIPTIONS.ROUTES if dialect.SUBSCRIPTIONS else {}]
    for route in (route for table in tables for route in table.values()):
        path = f"{dialect.prefix}/{route.path.lstrip('/')}".replace("{id}", str(uuid.UUID(int=0)))
        try:
            match = resolve(path, get_urlconf())
        except Resolver404:
            return f"{path} does not resolve.", f"{ROOT}; it does not work below another path, nor in i18n_patterns()."
        if APP not in match.app_names or not (match.url_name or "").startswith(f"{dialect.name}-"):
            return f"{path} resolves to {_dotted_path(match.func)}.", f"{ROOT}, above any catch-all pattern."
    return None


def _dotted_path(view: Any) -> str:
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def require_reachable(dialect: Dialect) -> None:
    """Raise ImproperlyConfigured if clients could not reach the task endpoints. Checked once per URLconf."""
    check = f"{dialect.name} is reachable in {get_urlconf()!r}"
    if conf.was_checked(check):
        return
    if problem := unreachable(dialect):
        message, hint = problem
        raise ImproperlyConfigured(f"The endpoints of {dialect.name!r} are not in the URLconf: {message} {hint}")
    conf.mark_checked(check)


def view_hint(entry: str) -> str | None:
    """A hint if an entry of ``VIEWS`` is not a URL name and matches no path, else None."""
    if entry.startswith("/"):
        return None if _matches(entry) else "Write a path of the project with a leading slash, or a URL name."
    names = {address.name for address in addresses() if address.name}
    if entry in names:
        return None
    close = difflib.get_close_matches(entry, names, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "Include the namespaces: 'reports:stock'."
    return f"{hint} Patterns match paths and begin with a slash."


def _matches(pattern: str) -> bool:
    """Whether ``pattern`` may match a URL of the project. With wildcards, only the literal starts are compared."""
    if not WILD.search(pattern):
        try:
            resolve(pattern)
        except Resolver404:
            return False
        return True
    return any(_may_match(pattern, address) for address in addresses())


def _may_match(pattern: str, address: Address) -> bool:
    start = WILD.split(pattern)[0]
    return address.prefix.startswith(start) or (address.is_variable and start.startswith(address.prefix))


def may_be_listed(address: Address, entries: Sequence[str]) -> bool:
    """Whether some entry of ``VIEWS`` may match ``address``."""
    return any(_may_match(each, address) if each.startswith("/") else each == address.name for each in entries)


def addresses() -> Iterator[Address]:
    """Yield the URL patterns of the project, except our own."""
    return _walk(get_resolver(), "/", True, ())


def _walk(resolver: URLResolver, prefix: str, is_literal: bool, namespaces: tuple[str, ...]) -> Iterator[Address]:
    for each in resolver.url_patterns:
        literal, is_whole = _literal(each.pattern)
        path = prefix + literal if is_literal else prefix
        if isinstance(each, URLPattern):
            name = ":".join((*namespaces, each.name)) if each.name else ""
            yield Address(path, not (is_literal and is_whole), name, each.callback)
        elif each.app_name != APP:
            inner = (*namespaces, each.namespace) if each.namespace else namespaces
            yield from _walk(each, path, is_literal and is_whole, inner)


def _literal(pattern: Any) -> tuple[str, bool]:
    """(the literal start of ``pattern``, whether that is all of it)."""
    text = str(pattern)
    if isinstance(pattern, RegexPattern):
        found = LITERAL.match(text)
        start = re.sub(r"\\(.)", r"\1", found[1]) if found else ""
        return start, found is not None and text[found.end() :] in ("", "$", r"\Z")
    start, angle, _ = text.partition("<")
    return start, not angle
