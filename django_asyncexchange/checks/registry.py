"""Ids of all checks, and how a function becomes one."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterable
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured


class CheckId(enum.StrEnum):
    """Every check of this app."""

    MIDDLEWARE_MISSING = "asyncexchange.E001"
    MIDDLEWARE_NOT_LAST = "asyncexchange.E002"
    UNKNOWN_KEY = "asyncexchange.E003"
    DIALECT_WRONG = "asyncexchange.E004"
    DIALECTS_COLLIDE = "asyncexchange.E005"
    EXECUTOR_WRONG = "asyncexchange.E006"
    OWNER_WRONG = "asyncexchange.E007"
    URLS_MISSING = "asyncexchange.E008"
    STORAGE_PUBLIC = "asyncexchange.E009"
    CLUSTER_MISSING = "asyncexchange.E010"
    CLUSTER_RETRY = "asyncexchange.E011"
    CLUSTER_TIMEOUT = "asyncexchange.E012"
    CLUSTER_GUARD = "asyncexchange.E013"
    CLUSTER_POOL = "asyncexchange.E014"
    SENDFILE_WRONG = "asyncexchange.E015"
    PRESIGNED_WRONG = "asyncexchange.E016"
    EXECUTOR_MISCONFIGURED = "asyncexchange.E017"
    USERS_ELSEWHERE = "asyncexchange.E031"
    VALUE_WRONG = "asyncexchange.E041"
    SETTING_MISNAMED = "asyncexchange.E042"
    STORAGE_WRONG = "asyncexchange.E043"
    CLUSTER_WRONG = "asyncexchange.E044"
    STORAGE_MISSING = "asyncexchange.W001"
    CLUSTER_ACK = "asyncexchange.W002"
    CLUSTER_SAVES = "asyncexchange.W003"
    CLUSTER_ALIAS = "asyncexchange.W004"
    CLUSTER_CACHE = "asyncexchange.W005"
    CONNECTIONS_REOPENED = "asyncexchange.W006"
    SQLITE_OLD = "asyncexchange.W007"
    STORAGE_THREADS = "asyncexchange.W008"
    CLUSTER_UNGUARDED = "asyncexchange.W009"
    CLUSTER_SYNC = "asyncexchange.W010"
    CLUSTER_NAMELESS = "asyncexchange.W011"
    CLUSTER_AHEAD = "asyncexchange.W012"
    CLUSTER_RECYCLE = "asyncexchange.W013"
    CLUSTER_CATCH_UP = "asyncexchange.W014"
    SQLITE_UNSYNCED = "asyncexchange.W015"
    NETWORKS_OPEN = "asyncexchange.W016"
    CONNECTIONS_PILE_UP = "asyncexchange.W030"
    CLUSTER_LOCKS = "asyncexchange.W031"
    VIEW_UNKNOWN = "asyncexchange.W041"


Finding = tuple[CheckId, str, str]
"""(id, what is wrong, what to do)"""


def registered(*tags: str, deploy: bool = False) -> Callable[[Callable[[], Iterable[Finding]]], Any]:
    """Register a function that yields findings as a system check; ids with an E are errors, others warnings."""

    def register(find: Callable[[], Iterable[Finding]]) -> Callable[[], Iterable[Finding]]:
        def check(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
            found: list[checks.CheckMessage] = []
            with contextlib.suppress(ImproperlyConfigured):  # of a setting of ours, which check_settings names
                found.extend(_message(*finding) for finding in find())
            return found

        checks.register(check, *tags, deploy=deploy)
        return find

    return register


def _message(id: CheckId, wrong: str, cure: str) -> checks.CheckMessage:
    kind = checks.Error if ".E" in id.value else checks.Warning
    return kind(wrong, hint=cure, id=id.value)
