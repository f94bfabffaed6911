"""For a project's own tests: what was accepted is run in the test itself, and webhooks are kept instead of sent.

>>> class ReportTests(AsyncExchangeTestMixin, TestCase):
...     def test_report(self):
...         accepted = self.client.get("/report/", headers={"Prefer": "respond-async"})
...         answer = self.async_worker.answer(accepted, self.client)
...         self.assertEqual(answer.json(), {"rows": 2135})

Everything happens in the test's own thread, transaction and database connection, so it works in a ``TestCase`` as in a
``TransactionTestCase``, with whatever executor the project has. pytest has the fixture ``async_worker``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import SimpleTestCase, override_settings

from .conf import conf
from .conf.keys import NAME
from .executors import Executor
from .models import AsyncTask, Delivery
from .models.querysets import AsyncTaskQuerySet
from .protocol.states import State
from .protocol.values import Response, value
from .responses import http
from .store import bodies
from .webhooks import attempts, delivery
from .webhooks.transport import Outcome
from .worker import runner


class Held(Executor):
    """The executor of tests: no message goes anywhere, and calls wait until ``Worker.run()``."""

    needs_worker = False

    def send(self, id: str, job: str = "run") -> None:
        pass

    def is_transactional(self, alias: str) -> bool:
        return True


@value
class Message:
    """A webhook or callback as it would have been sent."""

    event: str
    """``PROCESSED``, ``UPDATE`` or ``CREATE`` of a webhook; ``CALLBACK``."""
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    delivery: Delivery
    """The row; ``delivery.task`` is what it tells of."""

    def json(self) -> Any:
        return json.loads(self.body)


class Worker:
    """Runs what was accepted, when the test says so. Made by ``worker()``."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        """What ``deliver()`` has taken so far."""

    @property
    def tasks(self) -> AsyncTaskQuerySet:
        """All tasks there are, the oldest first: ``tasks.get()``, ``tasks.filter(account="7")``."""
        tasks: AsyncTaskQuerySet = AsyncTask.objects.order_by("created", "pk")
        return tasks

    def run(self) -> list[AsyncTask]:
        """Run all calls that wait, the oldest first, also those that are accepted meanwhile; returns their tasks.

        Never raises: what a view raises is logged, and its task ends in ``ERROR`` with the status 500.
        """
        ran: list[Any] = []
        with _connections_left_open():
            while waiting := [pk for pk in self._waiting() if pk not in ran]:
                for pk in waiting:
                    runner.run(str(pk))
                ran += waiting
        found = AsyncTask.objects.in_bulk(ran)
        return [found[pk] for pk in ran if pk in found]

    def _waiting(self) -> list[Any]:
        return list(self.tasks.filter(state=State.PENDING).values_list("pk", flat=True))

    def answer(self, accepted: Any, client: Any, **extra: Any) -> Any:
        """Run what waits, and have ``client`` follow the ``Location`` of the 202 ``accepted``: the final response.

        ``extra`` goes to ``client.get()``, for example ``headers={"Authorization": …}``.
        """
        assert accepted.status_code == 202, f"{accepted.status_code} instead of 202: {accepted.content[:1000]!r}"
        self.run()
        return client.get(accepted.headers["Location"], follow=True, **extra)

    def deliver(self, status: int = 200) -> list[Message]:
        """Take all webhooks and callbacks that are due, as if their receivers had answered ``status``; none is sent.

        Another try of one that has failed is due later, as in production.
        """
        delivery.give_up_disabled()
        taken = []
        while row := next(delivery.claim(1), None):
            rules = conf.delivery_rules(row.task.dialect)
            letter = attempts.letter(row, rules)
            attempts.settle(row, rules, [Outcome(status=status)])
            taken.append(
                Message(
                    event=row.event,
                    method=letter.method,
                    url=letter.url,
                    headers=dict(letter.headers),
                    body=letter.body,
                    delivery=row,
                )
            )
        self.messages += taken
        return taken


@contextlib.contextmanager
def _connections_left_open() -> Iterator[None]:
    """As Django's test client does it: each request would close those that are within the test's own transaction."""
    found = [made for made in (request_started, request_finished) if made.disconnect(close_old_connections)]
    try:
        yield
    finally:
        for made in found:
            made.connect(close_old_connections)


def stored_answer(task: AsyncTask) -> HttpResponse:
    """What the view has answered in the run of ``task``, whatever its dialect makes of it.

    Raises ValueError where there is none (not run yet, cancelled, lost, deleted).
    """
    if task.status_code is None:
        raise ValueError(f"{task} has no answer")
    content = bodies.read(task.response_body())
    return http.respond(Response(status=task.status_code, headers=task.headers, body=content))


@contextlib.contextmanager
def worker() -> Iterator[Worker]:
    """Inside, accepted calls wait for ``Worker.run()``, whatever ``ASYNC_EXCHANGE["EXECUTOR"]`` is."""
    with override_settings(**{NAME: held()}):
        yield Worker()


def held() -> dict[str, Any]:
    """``ASYNC_EXCHANGE`` as it is, but that nothing runs by itself."""
    return {**conf.raw, "EXECUTOR": f"{__name__}.{Held.__name__}"}


class AsyncExchangeTestMixin(SimpleTestCase):
    """Gives each test of a ``TestCase`` or ``TransactionTestCase`` its ``self.async_worker``."""

    async_worker: Worker

    def setUp(self) -> None:
        super().setUp()
        self.async_worker = self.enterContext(worker())
