"""The project's settings: middleware, ``ASYNC_EXCHANGE``, URLs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from django.core import checks
from django.utils.module_loading import import_string

from .. import configuration
from ..conf import conf, urlconf
from ..configuration import valid_mounts
from .registry import CheckId, Finding, registered

MIDDLEWARE = "django_asyncexchange.middleware.AsyncExchangeMiddleware"
INEFFECTIVE_MARKS = "django_asyncexchange.intake.marks.ineffective"
"""Imported by name when it is called: it needs the models, and this module is imported before them."""


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


IDS = {
    "": CheckId.SETTING_MISNAMED,
    "DIALECTS": CheckId.DIALECT_WRONG,
    "EXECUTOR": CheckId.EXECUTOR_WRONG,
    "OWNER": CheckId.OWNER_WRONG,
}
"""Key → the check that reports its mistakes. For other keys it is VALUE_WRONG."""


@registered()
def check_settings() -> Iterator[Finding]:
    for found in configuration.problems():
        id = CheckId.UNKNOWN_KEY if found.is_unknown else IDS.get(found.key, CheckId.VALUE_WRONG)
        yield found.check_id or id, f"{found.setting}: {found.message}", found.hint


@registered()
def check_dialects() -> Iterator[Finding]:
    for one, other in combinations(valid_mounts(), 2):
        anywhere = one.OPTIONAL and other.OPTIONAL  # preferences are valid under every prefix
        has_same_trigger = (one.TRIGGER, one.TRIGGER_NAME) == (other.TRIGGER, other.TRIGGER_NAME)
        claims_same = has_same_trigger and (anywhere or one.prefix == other.prefix)
        if claims_same and _overlap(one.METHODS, other.METHODS):
            unmount = " Or unmount the default one: {'prefer': None}." if "prefer" in (one.name, other.name) else ""
            yield (
                CheckId.DIALECTS_COLLIDE,
                f"The dialects {one.name!r} and {other.name!r} claim the same calls under {one.prefix or '/'!r}.",
                f"Give one of them another PREFIX.{unmount}",
            )


def _overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or bool(one & other)


@registered(checks.Tags.urls)
def check_urls() -> Iterator[Finding]:
    """Whether the project's URLconf resolves each address to a view of this app."""
    found = next((dead for made in valid_mounts() if (dead := urlconf.unreachable(made))), None)
    if found is not None:
        yield CheckId.URLS_MISSING, f"The task endpoints are not in the URLconf: {found[0]}", found[1]


@registered(checks.Tags.urls)
def check_views() -> Iterator[Finding]:
    """Whether each entry of VIEWS matches an address."""
    places = [("ASYNC_EXCHANGE['VIEWS']", conf.VIEWS)]
    places += [(f"ASYNC_EXCHANGE['DIALECTS'][{made.name!r}]['VIEWS']", made.policy.views) for made in valid_mounts()]
    for place, entries in places:
        for entry in entries:
            if (hint := urlconf.view_hint(entry)) is not None:
                yield CheckId.VIEW_UNKNOWN, f"{place} has {entry!r}, which matches no address of this project.", hint


@registered(checks.Tags.urls)
def check_marks() -> Iterator[Finding]:
    """Whether the mark of each view has an effect, as far as its decorators refer to the view."""
    for name, address in import_string(INEFFECTIVE_MARKS)():
        yield (
            CheckId.MARK_UNHEARD,
            f"{name} is marked, but the mark has no effect at {address.prefix}: a decorator above it does not copy it.",
            "Write @functools.wraps(view) in that decorator, or mark the outermost function.",
        )
