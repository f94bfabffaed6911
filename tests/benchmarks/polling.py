"""Polling a task, beside REST framework's retrieval of one row."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection
from django.test.utils import override_settings

from django_asyncexchange.conf import conf

from ..services import run_alone
from . import people
from .door import DATA, Door
from .figures import Figure, figure, interleaved, scale
from .models import Record

PEER = "a RetrieveAPIView of one row"


def measure() -> Iterator[Figure]:
    door, anna = Door(), people.anna()
    where = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]
    record = Record.objects.create(owner=anna, url="http://127.0.0.1:8000/works/", request=DATA)
    with override_settings(ASYNC_EXCHANGE={**conf.raw, "EXECUTOR": "tests.services.Idle"}):
        running, done = door.submit(), door.submit()
        run_alone(done)
    etag = door.expect(200, "GET", f"/async/operations/{done}").headers.get("ETag", "")
    contestants = {
        "an unfinished task": lambda: door.expect(202, "GET", f"/async/tasks/{running}"),
        "a finished task": lambda: door.expect(303, "GET", f"/async/tasks/{done}"),
        "the monitor": lambda: door.expect(200, "GET", f"/async/operations/{done}"),
        PEER: lambda: door.expect(200, "GET", f"/records/{record.pk}/"),
    }
    if etag:
        known = {"If-None-Match": etag}
        contestants["the monitor, unchanged"] = lambda: door.expect(
            304, "GET", f"/async/operations/{done}", headers=known
        )
    rounds = interleaved(contestants, scale(400, 10))
    for ours in contestants:
        if ours != PEER:
            yield figure(rounds, PEER, ours=ours, name=f"Poll {ours}, {where}", target=1.1)
