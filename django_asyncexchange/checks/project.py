"""The project's settings: middleware, ``ASYNC_EXCHANGE``, URLs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from django.core import checks
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from ..conf import BUILT_IN, conf, mountings
from ..dialects.base import Dialect
from .registry import CheckId, Finding, registered

MIDDLEWARE = "django_asyncexchange.middleware.AsyncExchangeMiddleware"


@registered(checks.Tags.security)
def check_middleware() -> Iterator[Finding]:
    names = list(conf.project("MIDDLEWARE", []))
    if MIDDLEWARE not in names:
        yield CheckId.MIDDLEWARE_MISSING, f"{MIDDLEWARE} is not in MIDDLEWARE.", "Add it as the last entry."
    elif names[-1] != MIDDLEWARE:
        yield (
            CheckId.MIDDLEWARE_NOT_LAST,
            f"{MIDDLEWARE} is not the last entry of MIDDLEWARE.",
            "Move it to the end: above the CSRF check, an asynchronous call would be a way around it.",
        )


@registered()
def check_keys() -> Iterator[Finding]:
    known = set(conf.names())
    for key in sorted(set(conf.raw) - known):
        yield CheckId.UNKNOWN_KEY, f"ASYNC_EXCHANGE[{key!r}] is unknown.", f"Known keys: {', '.join(sorted(known))}."


@registered()
def check_dialects() -> Iterator[Finding]:
    for name, made in mountings():
        if isinstance(made, Exception):
            yield (
                CheckId.DIALECT_WRONG,
                f"ASYNC_EXCHANGE['DIALECTS'][{name!r}] cannot be mounted: {type(made).__name__}: {made}",
                f"Name one of {', '.join(sorted(BUILT_IN))}, or give CLASS as a dotted path; "
                "other keys are PREFIX and the fields of its Policy in upper case.",
            )
    ready = [made for _, made in mountings() if isinstance(made, Dialect)]
    for one, other in combinations(ready, 2):
        anywhere = one.OPTIONAL and other.OPTIONAL  # a preference is heard under every prefix
        asked = (one.TRIGGER, one.TRIGGER_NAME) == (other.TRIGGER, other.TRIGGER_NAME)
        same = asked and (anywhere or one.prefix == other.prefix)
        if same and _overlap(one.METHODS, other.METHODS):
            yield (
                CheckId.DIALECTS_COLLIDE,
                f"The dialects {one.name!r} and {other.name!r} claim the same calls under {one.prefix or '/'!r}.",
                "Give one of them another PREFIX.",
            )


def _overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or bool(one & other)


@registered()
def check_dotted_paths() -> Iterator[Finding]:
    for id, key in (CheckId.EXECUTOR_WRONG, "EXECUTOR"), (CheckId.OWNER_WRONG, "OWNER"):
        path = getattr(conf, key)
        try:
            import_string(path)
        except Exception as error:
            yield (
                id,
                f"ASYNC_EXCHANGE[{key!r}] = {path!r} cannot be imported: {error}",
                "Name something importable; the default executor needs 'django_q' in INSTALLED_APPS.",
            )


@registered(checks.Tags.urls)
def check_urls() -> Iterator[Finding]:
    mounts = [made for _, made in mountings() if isinstance(made, Dialect) and made.ROUTES]
    try:
        for made in mounts:
            segment = next(iter(made.ROUTES.values())).path.partition("/")[0]
            reverse(f"asyncexchange:{made.name}-{segment}-nothing", args=[""])
    except NoReverseMatch:
        yield (
            CheckId.URLS_MISSING,
            "The task endpoints are not in the URLconf.",
            'Add path("", include("django_asyncexchange.urls")) to the root URLconf.',
        )
