"""``python -m tests.faults.crowd NUMBER``: so many calls wait like the newest of account *anna*.

Without a number: how many of her calls started between the submit and the start of each of *boris*', as JSON.
"""

from __future__ import annotations

import json
import sys
import uuid

import django

if __name__ == "__main__":
    django.setup()

    from django_asyncexchange.models import AsyncTask

    newest = AsyncTask.objects.filter(owner__username="anna").order_by("-created").first()
    assert newest is not None
    if sys.argv[1:]:
        assert newest.sent is None
        copies = []
        for _ in range(int(sys.argv[1])):
            newest.pk, newest._state.adding = uuid.uuid4(), True
            copies.append(AsyncTask(**{f.attname: getattr(newest, f.attname) for f in AsyncTask._meta.concrete_fields}))
        AsyncTask.objects.bulk_create(copies, batch_size=500)
    else:
        others = AsyncTask.objects.filter(account=newest.account)
        own = AsyncTask.objects.exclude(account=newest.account).order_by("created").values_list("created", "started")
        print(json.dumps([others.filter(started__gt=created, started__lt=start).count() for created, start in own]))
