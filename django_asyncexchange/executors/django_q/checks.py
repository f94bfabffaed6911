"""System checks of ``Q_CLUSTER``: what loses, repeats, cuts off or wastes calls."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.module_loading import import_string

from ...conf import conf
from ...conf.check_ids import CheckId
from ...protocol import process_id
from ..base import longest_run_limit
from . import clusters, supervisor

Finding = tuple[str, str, str]
"""(check id, what is wrong, what to do)"""

SHIPPED = "from django_asyncexchange.defaults import q_cluster; Q_CLUSTER = q_cluster()"
"""As the README shows it."""
MAX_PREFETCH = 4
"""Messages that a cluster may prefetch, for each of its workers."""
MIN_RECYCLE = 100
"""Starting a worker process costs as much as running some hundred short calls, and a message may be one call."""
DELIVERY_SECONDS = 60
"""The longest run of the job ``deliver``: ``webhooks.delivery.BUDGET``, and the attempt that it began with."""
MIN_RSS = 50_000
"""The memory that every worker needs, in KiB."""
REDIS_BLOCKS = 1.0
"""Seconds that Redis blocks a client that asks for a message of an empty queue."""


def _given() -> Mapping[str, Any]:
    given: Mapping[str, Any] = conf.project("Q_CLUSTER") or {}
    return given


def _is_guarded() -> bool:
    try:
        return supervisor.has_guarded_broker()
    except (ImportError, TypeError):
        return False


def _each() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each cluster that gets jobs of this app: its name, the place of its settings, and those settings."""
    given = _given()
    for name in clusters.queues() if given else ():
        own = (given.get("ALT_CLUSTERS") or {}).get(name)
        place = "Q_CLUSTER" if own is None else f"Q_CLUSTER['ALT_CLUSTERS'][{name!r}]"
        yield name, place, {**given, **(own or {})}


def unusable() -> Iterator[tuple[str, str]]:
    """(what is wrong, what to do) of settings with which no message arrives."""
    from django_q.brokers.orm import ORM  # needs the models of django-q2

    given = _given()
    known = {clusters.default(), *(given.get("ALT_CLUSTERS") or {})}
    for name in sorted(set(conf.QUEUES.values()) - known):
        yield (
            f"QUEUES names {name!r}, which is no cluster that could be started.",
            f"Add 'ALT_CLUSTERS': {{{name!r}: {{}}}} to Q_CLUSTER.",
        )
    path, alias = given.get("broker_class"), given.get("orm")
    try:
        broker = import_string(path) if path else ORM if alias else None
    except ImportError as error:
        yield f"Q_CLUSTER['broker_class'] cannot be imported: {error}", "Name a class that is there."
        return
    is_orm = isinstance(broker, type) and issubclass(broker, ORM)
    if is_orm and not alias:
        yield "Q_CLUSTER['broker_class'] keeps messages in a database, and none is named.", "Set 'orm': 'default'."
    if alias and not is_orm:
        yield (
            "Q_CLUSTER names a database by 'orm', and its broker_class does not keep messages there.",
            "Remove 'orm'; or name the broker that belongs to it.",
        )
    redis = given.get("redis")
    timeout = redis.get("socket_timeout") if isinstance(redis, dict) else None
    if timeout is not None and timeout <= REDIS_BLOCKS:
        yield (
            f"the socket_timeout of Redis is {timeout}: each wait for a message would end with an error.",
            "Set it to 5, or remove it.",
        )


def system_checks() -> Iterator[Finding]:
    yield from _of_queue()
    yield from _of_locks()
    yield from _of_repeats()
    yield from _of_processes()
    yield from _of_connections()
    yield from _of_cache()
    yield from _of_times()  # at the end: a mount that is wrong has no run limit


def _of_queue() -> Iterator[Finding]:
    """Whether there is a queue of this project, and whether its cluster can hang."""
    given = _given()
    if not given:
        yield (
            CheckId.CLUSTER_MISSING,
            "Q_CLUSTER is missing, so django-q2 would look for a Redis on this host.",
            f"Write in the settings: {SHIPPED}",
        )
    elif not _is_guarded():
        yield (
            CheckId.CLUSTER_UNGUARDED,
            "Q_CLUSTER has a broker that does not notice when its cluster hangs, as after a worker was killed.",
            "Set 'broker_class': 'django_asyncexchange.executors.django_q_broker.WakingBroker' (with Redis: "
            "'django_asyncexchange.executors.django_q_redis.WakingRedis'), and run manage.py asyncexchange_worker.",
        )
    if given.get("sync"):
        yield (
            CheckId.CLUSTER_SYNC,
            "Q_CLUSTER['sync'] is on: calls are run by the web process, before the client gets its 202.",
            "Remove it, or name django_asyncexchange.executors.inline.Inline as the EXECUTOR of tests.",
        )
    if given.keys() & {"redis", "django_redis"} and not given.keys() & {"name", "cluster_name"}:
        yield (
            CheckId.CLUSTER_NAMELESS,
            "Q_CLUSTER has no name: another project on the same Redis would take its messages, and drop them.",
            "Set 'name' to a name that only this project has.",
        )


def _of_locks() -> Iterator[Finding]:
    """Whether clusters can run on this machine, which may be a web server only."""
    if _given() and (why := process_id.without_locks()):
        yield (
            CheckId.CLUSTER_LOCKS,
            f"This machine gives processes no locks to share, so no cluster of django-q2 can run on it: {why}",
            "Mount a writable /dev/shm (in a container: a tmpfs) where manage.py asyncexchange_worker runs.",
        )


def _needed(name: str, longest: float) -> tuple[float, str]:
    """(seconds that ``timeout`` of the cluster ``name`` has to exceed, what takes so long there)."""
    if name == (conf.QUEUES.get("run") or clusters.default()):
        return longest, "RUN_LIMIT"
    return (DELIVERY_SECONDS, "run of deliveries") if name == conf.QUEUES.get("deliver") else (0, "run")


def _of_times() -> Iterator[Finding]:
    """What would repeat or cut off a run."""
    longest = longest_run_limit()
    for name, place, given in _each():
        timeout, retry, guard = given.get("timeout"), given.get("retry", 60), given.get("guard_cycle", 0.5)
        least, what = _needed(name, longest)
        if not isinstance(timeout, int) or timeout <= least:
            yield (
                CheckId.CLUSTER_TIMEOUT,
                f"{place}['timeout'] is {timeout}: the hard limit, in whole seconds, has to exceed the longest {what} "
                f"({least:g} s).",
                f"Set it to {math.ceil(least) + 60} or more.",
            )
        elif retry <= timeout:
            yield (
                CheckId.CLUSTER_RETRY,
                f"{place}['retry'] ({retry}) is not longer than its timeout ({timeout}): a long run would be repeated.",
                f"Set it to {timeout + 60} or more.",
            )
        if (guard / 0.25) % 1:
            yield (
                CheckId.CLUSTER_GUARD,
                f"{place}['guard_cycle'] is {guard}: only multiples of 0.25 ever hit the backup timeout.",
                "Set it to 0.5.",
            )


def _of_repeats() -> Iterator[Finding]:
    """What would repeat work, or keep rows of it."""
    for _, place, given in _each():
        if not given.get("ack_failures") or given.get("max_attempts") != 1:
            yield (
                CheckId.CLUSTER_ACK,
                f"{place} would deliver a failed task again; retries are this app's.",
                "Set 'ack_failures': True and 'max_attempts': 1.",
            )
        if given.get("save_limit", 250) >= 0:
            yield (
                CheckId.CLUSTER_SAVES,
                f"{place} saves a result row per task, which nobody reads and which slows the queue down tenfold.",
                "Set 'save_limit': -1.",
            )
    alias = _given().get("orm")
    if alias and alias != "default":
        yield (
            CheckId.CLUSTER_ALIAS,
            f"Q_CLUSTER['orm'] is {alias!r}: a task and its message are not committed together.",
            "Keep the queue in the database of the tasks, unless a router puts the tasks there too.",
        )


def _of_processes() -> Iterator[Finding]:
    """What clusters prefetch, and how often they replace their processes."""
    for _, place, given in _each():
        workers = given.get("workers") or os.cpu_count() or 4
        ahead = max(given.get("queue_limit", workers**2), given.get("bulk", 1))
        if ahead > MAX_PREFETCH * workers:
            yield (
                CheckId.CLUSTER_AHEAD,
                f"{place} prefetches {ahead} messages for {workers} workers: they wait even if another cluster is "
                "idle, and are late if this one dies.",
                f"Set 'queue_limit' and 'bulk' to {2 * workers}.",
            )
        recycle, memory = given.get("recycle", 500), given.get("max_rss")
        if recycle < MIN_RECYCLE or (memory and memory < MIN_RSS):
            yield (
                CheckId.CLUSTER_RECYCLE,
                f"{place} replaces a worker process after {recycle} messages, or at {memory} KiB of memory: that costs "
                "more than most calls.",
                "Set 'recycle' to 5000, and 'max_rss', which counts KiB, to what a worker may need, like 300_000.",
            )


def _databases() -> Mapping[str, Mapping[str, Any]]:
    databases: Mapping[str, Mapping[str, Any]] = conf.project("DATABASES", {})
    return databases


def _is_sqlite(database: Mapping[str, Any]) -> bool:
    return "sqlite" in database.get("ENGINE", "")


def _of_connections() -> Iterator[Finding]:
    """What forked workers would share."""
    for alias, database in _databases().items() if _given() else ():
        if database.get("OPTIONS", {}).get("pool"):
            yield (
                CheckId.CLUSTER_POOL,
                f"DATABASES[{alias!r}] has a connection pool, which django-q2's forked workers would share.",
                "Remove OPTIONS['pool']; persistent connections (CONN_MAX_AGE) do the same for workers.",
            )


def _of_cache() -> Iterator[Finding]:
    sqlite = any(map(_is_sqlite, _databases().values()))
    cache: Mapping[str, Any] = conf.project("CACHES", {}).get(_given().get("cache", "default"), {})
    if _given() and sqlite and "DatabaseCache" in cache.get("BACKEND", ""):
        yield (
            CheckId.CLUSTER_CACHE,
            "django-q2 writes its statistics twice a second into the cache, which is the same SQLite database.",
            "Use another cache, or name one in Q_CLUSTER['cache'].",
        )


def deployment_checks() -> Iterator[Finding]:
    given = _given()
    alias = given.get("orm") or "default"
    database = _databases().get(alias, {}) if given else {}
    is_cheap = _is_sqlite(database) and _is_guarded()  # opening a file is fast, and our broker does it once
    if database and database.get("CONN_MAX_AGE", 0) == 0 and not is_cheap:
        yield (
            CheckId.CONNECTIONS_REOPENED,
            f"DATABASES[{alias!r}] opens a new connection for each call of the queue (CONN_MAX_AGE is 0).",
            "Set CONN_MAX_AGE to None, at least in the workers.",
        )
    if given and given.get("scheduler", True) and given.get("catch_up", True):
        yield (
            CheckId.CLUSTER_CATCH_UP,
            "Q_CLUSTER['catch_up'] is on: after an outage, every missed run of every schedule precedes the calls.",
            "Set 'catch_up': False.",
        )
