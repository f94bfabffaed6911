"""``python -m tests.faults.versions "ID ID …"``: as if other versions of this app had written these waiting calls."""

from __future__ import annotations

import datetime as dt
import json
import sys

import django

if __name__ == "__main__":
    django.setup()

    from django.utils import timezone
    from django_q.tasks import async_task

    from django_asyncexchange import encryption
    from django_asyncexchange.executors import ENTRY_POINTS
    from django_asyncexchange.models import AsyncTask
    from django_asyncexchange.protocol.states import State

    ids = sys.argv[1].split()
    for task in AsyncTask.objects.filter(pk__in=ids):
        fields = json.loads(encryption.unseal(task.request["sealed"].encode()))
        newer = json.dumps({**fields, "from_the_future": {"a": [1]}, "version": 99})
        task.request = {"sealed": encryption.seal(newer.encode()).decode()}
        task.save(update_fields=["request"])
    # A newer version passes an additional argument, and sends a job of its own.
    for pk in ids[:10]:
        async_task(ENTRY_POINTS["run"], pk, "more", again=True, q_options={"save": False, "ack_failure": True})
        async_task("django_asyncexchange.worker.runner.of_tomorrow", pk, q_options={"save": False, "ack_failure": True})
    # An older version claimed some, without a lease, and is gone.
    long_ago = timezone.now() - dt.timedelta(days=1)
    AsyncTask.objects.filter(pk__in=ids[10:20]).update(
        state=State.PROCESSING, attempt=1, started=long_ago, worker="", lease_until=None
    )
