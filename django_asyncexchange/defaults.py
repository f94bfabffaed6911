"""What a project's settings may take from here. Imports nothing that needs settings.

>>> from django_asyncexchange.defaults import q_cluster
>>> Q_CLUSTER = q_cluster(workers=4)
"""

from __future__ import annotations

from typing import Any


def q_cluster(**overrides: Any) -> dict[str, Any]:
    """django-q2's settings for this app, with the queue in the project's database; ``overrides`` win."""
    return {
        "orm": "default",
        "broker_class": "django_asyncexchange.executors.django_q_broker.WakingBroker",
        "workers": 2,
        "queue_limit": 4,
        "timeout": 360,
        "retry": 420,
        "save_limit": -1,
        "ack_failures": True,
        "max_attempts": 1,
        "catch_up": False,
        **overrides,
    }
