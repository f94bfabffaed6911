"""Test tools for projects: run accepted calls within the test, and collect webhooks instead of sending them.

>>> class ReportTests(AsyncExchangeTestMixin, TestCase):
...     def test_report(self):
...         accepted = self.client.get("/report/", headers={"Prefer": "respond-async"})
...         answer = self.async_worker.answer(accepted, self.client)
...         self.assertEqual(answer.json(), {"rows": 2135})

Everything runs in the test's own thread, transaction and database connection. So it works in a ``TestCase`` and in a
``TransactionTestCase``, whatever executor the project has. For pytest there is the fixture ``async_worker``.
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


class ManualExecutor(Executor):
    """Executor for tests: sends no messages, so calls wait for ``Worker.run()``."""

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
    """The ``Delivery`` row; its ``task`` is the task that the event is about."""

    def json(self) -> Any:
        return json.loads(self.body)


class Worker:
    """Runs accepted calls when the test says so. Returned by ``worker()``."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        """All messages that ``deliver()`` has returned so far."""

    @property
    def tasks(self) -> AsyncTaskQuerySet:
        """Queryset of all tasks, oldest first: ``tasks.get()``, ``tasks.filter(account="7")``."""
        tasks: AsyncTaskQuerySet = AsyncTask.objects.order_by("created", "pk")
        return tasks

    def run(self) -> list[AsyncTask]:
        """Run all pending calls, oldest first, including those that are accepted meanwhile; return their tasks.

        Never raises: an exception in a view is logged, and its task ends in ``ERROR`` with status 500.
        """
        ran: list[Any] = []
        with _connections_left_open():
            while pending := [pk for pk in self._pending() if pk not in ran]:
                for pk in pending:
                    runner.run(str(pk))
                ran += pending
        found = AsyncTask.objects.in_bulk(ran)
        return [found[pk] for pk in ran if pk in found]

    def _pending(self) -> list[Any]:
        return list(self.tasks.filter(state=State.PENDING).values_list("pk", flat=True))

    def answer(self, accepted: Any, client: Any, **extra: Any) -> Any:
        """Run pending calls and return the final response: ``client`` follows the ``Location`` of the 202 ``accepted``.

        ``extra`` is passed to ``client.get()``, for example ``headers={"Authorization": …}``. Raises AssertionError if
        ``accepted`` is not a 202.
        """
        assert accepted.status_code == 202, f"{accepted.status_code} instead of 202: {accepted.content[:1000]!r}"
        self.run()
        return client.get(accepted.headers["Location"], follow=True, **extra)

    def deliver(self, status: int = 200) -> list[Message]:
        """Return all webhooks and callbacks that are due, as if their receivers had answered ``status``.

        None is sent. If ``status`` is an error, the next attempt is due later, as in production.
        """
        delivery.give_up_disabled()
        collected = []
        while row := next(delivery.claim(1), None):
            rules = conf.delivery_rules(row.task.dialect)
            request = attempts.build_request(row, rules)
            attempts.record(row, rules, [Outcome(status=status)])
            collected.append(
                Message(
                    event=row.event,
                    method=request.method,
                    url=request.url,
                    headers=dict(request.headers),
                    body=request.body,
                    delivery=row,
                )
            )
        self.messages += collected
        return collected


@contextlib.contextmanager
def _connections_left_open() -> Iterator[None]:
    """As Django's test client does: otherwise each request would close the connection of the test's own transaction."""
    found = [made for made in (request_started, request_finished) if made.disconnect(close_old_connections)]
    try:
        yield
    finally:
        for made in found:
            made.connect(close_old_connections)


def stored_answer(task: AsyncTask) -> HttpResponse:
    """Return the response of the view in the run of ``task``, before its dialect changes anything.

    Raises ValueError if there is none (not run yet, cancelled, lost, deleted).
    """
    if task.status_code is None:
        raise ValueError(f"{task} has no response")
    content = bodies.read(task.response_body())
    return http.respond(Response(status=task.status_code, headers=task.headers, body=content))


@contextlib.contextmanager
def worker() -> Iterator[Worker]:
    """Context manager in which accepted calls wait for ``Worker.run()``, whatever ``ASYNC_EXCHANGE["EXECUTOR"]`` is."""
    with override_settings(**{NAME: settings_for_tests()}):
        yield Worker()


def settings_for_tests() -> dict[str, Any]:
    """``ASYNC_EXCHANGE`` of the project with the executor for tests."""
    return {**conf.raw, "EXECUTOR": f"{__name__}.{ManualExecutor.__name__}"}


class AsyncExchangeTestMixin(SimpleTestCase):
    """Gives each test of a ``TestCase`` or ``TransactionTestCase`` its ``self.async_worker``."""

    async_worker: Worker

    def setUp(self) -> None:
        super().setUp()
        self.async_worker = self.enterContext(worker())
