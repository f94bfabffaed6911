"""django-q2's settings, where it is the executor: what loses, doubles, cuts off or wastes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ..conf import conf
from ..configuration import valid_mounts
from ..executors.django_q import cluster_settings, clusters, supervisor
from ..protocol import process_id
from .registry import CheckId, Finding, registered

SHIPPED = "from django_asyncexchange.defaults import q_cluster; Q_CLUSTER = q_cluster()"
"""What the README shows."""
AHEAD = 4
"""Messages that a cluster may take ahead, for each of its workers."""
SOON = 100
"""A worker process costs as much to start as some hundred short calls to run."""
DELIVERIES = 60
"""One message about deliveries is worked on for no more seconds than that (``delivery.BUDGET``, and the last tries)."""
SMALLEST = 50_000
"""Less memory than that, in KiB, no worker gets by with."""


def uses_django_q() -> bool:
    return conf.EXECUTOR.startswith("django_asyncexchange.executors.django_q.")


def cluster() -> Mapping[str, Any]:
    """``Q_CLUSTER``, where django-q2 is the executor, and it is there and can be read; else nothing."""
    given = conf.project("Q_CLUSTER") if uses_django_q() else None
    return given if given and not next(cluster_settings.mistakes(), None) else {}


def is_guarded() -> bool:
    """Whether the broker is one of ours."""
    try:
        return supervisor.has_guarded_broker()
    except (ImportError, TypeError):
        return False


def _each() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each cluster that our jobs are sent to: its name, where its settings are, and all that hold for it."""
    given = cluster()
    for name in clusters.queues() if given else ():
        own = (given.get("ALT_CLUSTERS") or {}).get(name)
        place = "Q_CLUSTER" if own is None else f"Q_CLUSTER['ALT_CLUSTERS'][{name!r}]"
        yield name, place, {**given, **(own or {})}


@registered()
def check_cluster() -> Iterator[Finding]:
    """Whether there is one, and whether it can hang."""
    if uses_django_q() and not conf.project("Q_CLUSTER"):
        yield (
            CheckId.CLUSTER_MISSING,
            "Q_CLUSTER is missing, so django-q2 would look for a Redis on this host.",
            f"Write in the settings: {SHIPPED}",
        )
    given = cluster()
    if given and not is_guarded():
        yield (
            CheckId.CLUSTER_UNGUARDED,
            "Q_CLUSTER has a broker that does not tell when its cluster hangs: one does when a worker is killed.",
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
            "Q_CLUSTER has no name: another project on the same Redis would take its messages, and throw them away.",
            "Set 'name' to something that is this project's alone.",
        )


@registered()
def check_locks() -> Iterator[Finding]:
    """Whether its processes can share locks on this machine, where it may be a web server's only."""
    if cluster() and (why := process_id.without_locks()):
        yield (
            CheckId.CLUSTER_LOCKS,
            f"This machine gives processes no locks to share, so no cluster of django-q2 can run on it: {why}",
            "Mount a writable /dev/shm (in a container: a tmpfs) where manage.py asyncexchange_worker runs.",
        )


def _needed(name: str, longest: float) -> tuple[float, str]:
    """What the time limit of the cluster ``name`` has to exceed, in seconds, and what takes so long there."""
    if name == (conf.QUEUES.get("run") or clusters.default()):
        return longest, "RUN_LIMIT"
    return (DELIVERIES, "run of deliveries") if name == conf.QUEUES.get("deliver") else (0, "run")


@registered()
def check_cluster_times() -> Iterator[Finding]:
    """What would double or cut off a run."""
    longest = max((made.policy.run_limit.total_seconds() for made in valid_mounts()), default=0)
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
                f"{place}['retry'] ({retry}) is not longer than its timeout ({timeout}): a long run comes again.",
                f"Set it to {timeout + 60} or more.",
            )
        if (guard / 0.25) % 1:
            yield (
                CheckId.CLUSTER_GUARD,
                f"{place}['guard_cycle'] is {guard}: only multiples of 0.25 ever hit the backup timeout.",
                "Set it to 0.5.",
            )


@registered()
def check_cluster_repeats() -> Iterator[Finding]:
    """What repeats work, or keeps rows of it."""
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
    alias = cluster().get("orm")
    if alias and alias != "default":
        yield (
            CheckId.CLUSTER_ALIAS,
            f"Q_CLUSTER['orm'] is {alias!r}: a task and its message are not committed together.",
            "Keep the queue in the database of the tasks, unless a router puts the tasks there too.",
        )


@registered()
def check_cluster_processes() -> Iterator[Finding]:
    """What its processes take ahead, and how often they are replaced."""
    for _, place, given in _each():
        workers = given.get("workers") or os.cpu_count() or 4
        ahead = max(given.get("queue_limit", workers**2), given.get("bulk", 1))
        if ahead > AHEAD * workers:
            yield (
                CheckId.CLUSTER_AHEAD,
                f"{place} takes {ahead} messages ahead for {workers} workers: so many calls wait for others "
                "to end while another cluster is idle, and are late when this one dies.",
                f"Set 'queue_limit' and 'bulk' to {2 * workers}.",
            )
        recycle, memory = given.get("recycle", 500), given.get("max_rss")
        if recycle < SOON or (memory and memory < SMALLEST):
            yield (
                CheckId.CLUSTER_RECYCLE,
                f"{place} replaces a worker process after {recycle} calls, or at {memory} KiB of memory: that costs "
                "more than most calls.",
                "Set 'recycle' to 5000, and 'max_rss', which counts KiB, to what a worker may need, like 300_000.",
            )


@registered(deploy=True)
def check_schedules() -> Iterator[Finding]:
    if cluster() and cluster().get("scheduler", True) and cluster().get("catch_up", True):
        yield (
            CheckId.CLUSTER_CATCH_UP,
            "Q_CLUSTER['catch_up'] is on: after an outage, each missed turn of each schedule is run before the calls.",
            "Set 'catch_up': False.",
        )
