"""Recommended settings of other apps, for a project's settings module. Importable before settings are configured.

>>> from django_asyncexchange.defaults import q_cluster
>>> Q_CLUSTER = q_cluster(workers=4)
"""

from __future__ import annotations

from typing import Any

EXECUTORS = "django_asyncexchange.executors"
DATABASE = {"orm": "default", "broker_class": f"{EXECUTORS}.django_q_broker.WakingBroker"}
REDIS = {"broker_class": f"{EXECUTORS}.django_q_redis.WakingRedis"}


def q_cluster(**overrides: Any) -> dict[str, Any]:
    """Return a ``Q_CLUSTER`` for django-q2. ``overrides`` are options of django-q2 and take precedence.

    The queue is in the project's database, or in Redis if ``redis`` or ``django_redis`` is given. Two options are
    derived unless they are given: ``queue_limit`` is twice ``workers``, and ``retry`` is ``timeout`` plus 60 seconds.
    docs/howto/deployment.rst explains each.
    """
    queue = REDIS if overrides.keys() & {"redis", "django_redis"} else DATABASE
    workers, timeout = overrides.get("workers", 2), overrides.get("timeout", 360)
    return {
        **queue,
        "workers": workers,
        "queue_limit": 2 * workers,
        "timeout": timeout,
        "retry": timeout + 60,
        "save_limit": -1,
        "ack_failures": True,
        "max_attempts": 1,
        "catch_up": False,
        **overrides,
    }
