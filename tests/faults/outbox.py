"""``python -m tests.faults.outbox WEBHOOKS``: the site's deliveries as JSON; also the settings of that site.

A process of its own, because it reads the database of another project than the tests'.
"""

from __future__ import annotations

import json
import os
import sys

from django_asyncexchange.dialects.base import DeliveryRules, Dialect
from tests.faults.settings import *  # noqa: F403
from tests.faults.settings import ASYNC_EXCHANGE as GIVEN
from tests.faults.settings import MOUNT
from tests.faults.settings import Q_CLUSTER as CLUSTER
from tests.journeys.settings import NAME

QUEUE = f"{NAME}_deliver"
Q_CLUSTER = {**CLUSTER, "ALT_CLUSTERS": {QUEUE: {}}}
ASYNC_EXCHANGE = {
    **GIVEN,
    "DIALECTS": {"prefer": {**MOUNT, "WEBHOOKS": 100}},
    "QUEUES": {"deliver": QUEUE},
    "WEBHOOK_IN_FLIGHT": int(os.environ.get("FAULT_IN_FLIGHT") or 2),
}
if patience := float(os.environ.get("FAULT_PATIENCE") or 0):
    Dialect.DELIVERY_RULES = {"signed": DeliveryRules(read_timeout=patience, total_timeout=patience)}


def rows(webhooks: list[str]) -> list[dict[str, object]]:
    from django_asyncexchange.models import Delivery

    found = Delivery.objects.filter(webhook__in=webhooks)
    return [
        {"id": str(row.pk), "state": row.state, "tries": row.tries, "made": row.created.timestamp()} for row in found
    ]


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(rows(json.loads(sys.argv[1]))))
