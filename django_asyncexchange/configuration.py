"""Validates the settings, for the system checks and before their first use."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured

from . import executors
from .conf import conf
from .conf.keys import NAME
from .conf.mounts import Problem, entries, mistakes, mount, suggestion
from .dialects.base import Dialect
from .protocol.validators import Mistake


def valid_mounts() -> list[Dialect]:
    """The mounts without mistakes: for system checks, and for the URLconf, which must not raise while it is checked.

    Longer prefixes come first: addresses below them do not belong to mounts with shorter ones.
    """
    found = []
    with suppress(ImproperlyConfigured):
        for name, options in entries(conf.DIALECTS).items():
            with suppress(Mistake):
                found.append(mount(name, options))
    return sorted(found, key=lambda made: -len(made.prefix))


def problems() -> Iterator[Problem]:
    """All mistakes in ``ASYNC_EXCHANGE``, and in settings that the executor reads."""
    yield from _misnamed()
    try:
        found = conf.raw
    except ImproperlyConfigured as error:
        yield Problem(
            setting=NAME, message=str(error), hint="It is a dictionary, whose keys docs/reference/settings.rst has."
        )
        return
    for key in sorted(set(found) - set(conf.names()), key=str):
        hint = suggestion(key, conf.names())
        yield Problem(
            setting=f"{NAME}[{key!r}]", message="there is no such key.", hint=hint, key=str(key), is_unknown=True
        )
    yield from executors.setting_problems()
    own = [wrong for setting in conf.settings() if (wrong := setting.problem(found))]
    yield from own
    if "DIALECTS" not in {wrong.key for wrong in own}:
        for name, options in entries(conf.DIALECTS).items():
            yield from mistakes(name, options)
    for key, other in (
        ("SNAPSHOT_USER", "RESTORE_USER"),
        ("RESTORE_USER", "SNAPSHOT_USER"),
        ("RUN_HEADERS", "SNAPSHOT_USER"),
    ):
        if found.get(key) and not found.get(other):
            missing = f"it does nothing without {other}."
            yield Problem(setting=f"{NAME}[{key!r}]", message=missing, hint=f"Set {other} too, or remove it.", key=key)


def _misnamed() -> Iterator[Problem]:
    """Settings that are probably meant for this app: with a similar name, or one for each key."""
    names = conf.project_names()
    for name in names if NAME not in names else ():
        plain = name.replace("_", "").removeprefix("DJANGO")
        is_like_ours = bool(difflib.get_close_matches(plain, ["ASYNCEXCHANGE"], cutoff=0.85))
        if is_like_ours and isinstance(conf.project(name), Mapping):  # in this order: to read a setting may warn
            yield Problem(setting=name, message="there is no setting of this name.", hint=f"Call it {NAME}.")
    for key in (name.removeprefix(f"{NAME}_") for name in names if name.startswith(f"{NAME}_")):
        if key in set(conf.names()):
            hint = f"Write {NAME} = {{{key!r}: …}}."
            yield Problem(setting=f"{NAME}_{key}", message="there is no setting of this name.", hint=hint)


def require_executor() -> None:
    """Raise ImproperlyConfigured, with every mistake that the executor reports. Checked once, until settings change."""
    if conf.was_checked("executor"):
        return
    if found := list(executors.load().check()):
        raise ImproperlyConfigured("\n".join(f"{conf.EXECUTOR} cannot work: {wrong} {hint}" for wrong, hint in found))
    conf.mark_checked("executor")


def require_usable() -> None:
    """Raise ImproperlyConfigured, with every mistake in the settings. Checked once, until settings change."""
    if conf.was_checked("usable"):
        return
    if found := list(problems()):
        raise ImproperlyConfigured("\n".join(map(str, found)))
    conf.mark_checked("usable")
