"""django-q2's settings, where it is the executor: what loses, doubles, cuts off or wastes (contract/engine A3, A4)."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from ..conf import conf, mountings
from ..dialects.base import Dialect
from .registry import CheckId, Finding, registered

SQLITE_MENDED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite versions in which, and in whose branch after which, the WAL-reset bug is mended."""


def _uses_django_q() -> bool:
    return conf.EXECUTOR.startswith("django_asyncexchange.executors.django_q.")


def _cluster() -> Mapping[str, Any] | None:
    """``Q_CLUSTER``, where django-q2 is the executor and it is there."""
    return conf.project("Q_CLUSTER") if _uses_django_q() else None


@registered()
def check_cluster() -> Iterator[Finding]:
    """What would lose, double or cut off a run (contract/engine A3)."""
    if _uses_django_q() and not conf.project("Q_CLUSTER"):
        yield (
            CheckId.CLUSTER_MISSING,
            "Q_CLUSTER is missing, so django-q2 would look for a Redis on this host.",
            'The simplest: Q_CLUSTER = {"orm": "default", "timeout": 360, "retry": 420, "save_limit": -1, '
            '"ack_failures": True, "max_attempts": 1}.',
        )
    cluster = _cluster()
    if not cluster:
        return
    mounts = [made for _, made in mountings() if isinstance(made, Dialect)]
    longest = max((made.policy.run_limit.total_seconds() for made in mounts), default=0)
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    if not timeout or timeout <= longest:
        yield (
            CheckId.CLUSTER_TIMEOUT,
            f"Q_CLUSTER['timeout'] is {timeout}: the hard limit has to exceed the longest RUN_LIMIT ({longest:g} s).",
            f"Set it to {math.ceil(longest) + 60} or more.",
        )
    if timeout and retry <= timeout:
        yield (
            CheckId.CLUSTER_RETRY,
            f"Q_CLUSTER['retry'] ({retry}) is not longer than its timeout ({timeout}): a long run is delivered again.",
            f"Set it to {timeout + 60} or more.",
        )
    guard = cluster.get("guard_cycle", 0.5)
    if (guard / 0.25) % 1:
        yield (
            CheckId.CLUSTER_GUARD,
            f"Q_CLUSTER['guard_cycle'] is {guard}: only multiples of 0.25 ever hit the backup timeout.",
            "Set it to 0.5.",
        )


@registered()
def check_cluster_costs() -> Iterator[Finding]:
    """What repeats work or wastes most of the time (contract/engine A3, A4)."""
    cluster = _cluster()
    if not cluster:
        return
    if not cluster.get("ack_failures") or cluster.get("max_attempts") != 1:
        yield (
            CheckId.CLUSTER_ACK,
            "Q_CLUSTER would deliver a failed task again; retries are this app's.",
            "Set 'ack_failures': True and 'max_attempts': 1.",
        )
    if cluster.get("save_limit", 250) >= 0:
        yield (
            CheckId.CLUSTER_SAVES,
            "Q_CLUSTER saves a result row per task, which nobody reads and which slows the queue down tenfold.",
            "Set 'save_limit': -1.",
        )
    alias = cluster.get("orm")
    if alias and alias != "default":
        yield (
            CheckId.CLUSTER_ALIAS,
            f"Q_CLUSTER['orm'] is {alias!r}: a task and its message are not committed together.",
            "Keep the queue in the database of the tasks, unless a router puts the tasks there too.",
        )


@registered()
def check_databases() -> Iterator[Finding]:
    cluster = _cluster() or {}
    given: Mapping[str, Mapping[str, Any]] = conf.project("DATABASES", {})
    for alias, database in given.items():
        if cluster and database.get("OPTIONS", {}).get("pool"):
            yield (
                CheckId.CLUSTER_POOL,
                f"DATABASES[{alias!r}] has a connection pool, which django-q2's forked workers would share.",
                "Remove OPTIONS['pool']; persistent connections (CONN_MAX_AGE) do the same for workers.",
            )
    alias = cluster.get("orm") or ""
    if alias in given and given[alias].get("CONN_MAX_AGE", 0) == 0:
        yield (
            CheckId.CONNECTIONS_REOPENED,
            f"DATABASES[{alias!r}] opens a new connection for each call of the queue (CONN_MAX_AGE is 0).",
            "Set CONN_MAX_AGE to None, at least in the workers.",
        )
    sqlite = any("sqlite" in database.get("ENGINE", "") for database in given.values())
    caches = {cache.get("BACKEND", "") for cache in conf.project("CACHES", {}).values()}
    if cluster and sqlite and any("DatabaseCache" in backend for backend in caches):
        yield (
            CheckId.CLUSTER_CACHE,
            "django-q2 writes its statistics twice a second into the cache, which is the same SQLite database.",
            "Use another cache, or name one in Q_CLUSTER['cache'].",
        )


@registered(deploy=True)
def check_sqlite() -> Iterator[Finding]:
    given = conf.project("DATABASES", {}).values()
    if any("sqlite" in database.get("ENGINE", "") for database in given) and not _is_mended(
        sqlite3.sqlite_version_info
    ):
        yield (
            CheckId.SQLITE_OLD,
            f"SQLite {sqlite3.sqlite_version} can lose committed rows when several processes write (WAL reset bug).",
            "Use SQLite 3.51.3 (or 3.50.7, 3.44.6), or another database, in production.",
        )


def _is_mended(version: tuple[int, ...]) -> bool:
    if version >= SQLITE_MENDED[0]:
        return True
    return any(version[:2] == mended[:2] and version >= mended for mended in SQLITE_MENDED)
