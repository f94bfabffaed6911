"""Settings of other apps as this app needs them, for a project's settings module. Needs no settings itself.

>>> from django_asyncexchange.defaults import q_cluster
>>> Q_CLUSTER = q_cluster(workers=4)
"""

from __future__ import annotations

from typing import Any

EXECUTORS = "django_asyncexchange.executors"
DATABASE = {"orm": "default", "broker_class": f"{EXECUTORS}.django_q_broker.WakingBroker"}
REDIS = {"broker_class": f"{EXECUTORS}.django_q_redis.WakingRedis"}


def q_cluster(**overrides: Any) -> dict[str, Any]:
    """``Q_CLUSTER`` of django-q2: its values by the names that django-q2 gives them, ``overrides`` first.

    The queue is in the project's own database; with ``redis`` or ``django_redis`` it is there. What follows from
    another value is made from it, unless it is given too: ``queue_limit`` is two for each of ``workers``, and ``retry``
    is a minute longer than ``timeout``, both in seconds. docs/howto/deployment.rst explains each.
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
