"""A broker for django-q2 with its queue in the database: ``Q_CLUSTER["broker_class"]``, together with ``"orm"``.

It uses the table and the messages of django-q2's ORM broker. Messages are taken in order, workers are woken by the
commit, and errors of the database do not stop the cluster. Dates are compared with the database's clock, in UTC: the
clocks of web servers and workers differ.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import Value
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage

from ...conf import conf
from ...models import AsyncTask
from ...models.querysets import after
from ...models.timestamps import Now, UTCDateTimeField, utc_now
from ...sql.queries import PreparedValues
from ...sql.writes import PreparedInsert
from .. import wakeup
from ..base import ENTRY_POINTS
from . import stall_detector
from .guard import GuardedBroker
from .messages import freshly_signed

POLL_INTERVAL = 1.0
"""Seconds between two polls of an empty queue whose notifications arrive."""
BATCH = 500

MESSAGE = PreparedInsert(OrmQ, PreparedValues(lambda: OrmQ.objects.values("id", call=wakeup.NOTIFY)), lock=Now())


class WakingBroker(GuardedBroker, ORM):  # type: ignore[misc]
    """django-q2's ORM broker with notifications and a guard."""

    _listener: wakeup.Listener | None = None
    _interval = POLL_INTERVAL
    _cleaned = 0.0

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """Without closing the connections first, as django-q2's broker does each time."""
        return OrmQ.objects.using(Conf.ORM)

    def enqueue(self, task: str) -> int:
        message = self._message(task)
        MESSAGE.insert(message, using=Conf.ORM, channel=wakeup.channel(self.list_key))
        wakeup.notify(Conf.ORM, self.list_key, is_notified=True)
        return int(message.pk)

    def prepared_insert(self, task: str) -> tuple[PreparedInsert, Mapping[str, Any]]:
        """The INSERT that enqueues ``task``, and its values, for a statement that writes more."""
        return MESSAGE, self._message(task).__dict__ | {"channel": wakeup.channel(self.list_key)}

    def _message(self, task: str) -> OrmQ:
        return OrmQ(key=self.list_key, payload=task)

    def payloads(self, most: int) -> Iterator[str]:
        """Payloads of at most ``most`` waiting messages, oldest first."""
        rows = self._waiting().order_by("pk").values_list("payload", flat=True)
        yield from rows[:most].iterator(chunk_size=BATCH)

    def queue_size(self) -> int:
        return int(self._waiting().count())

    def lock_size(self) -> int:
        return int(self._held().count())

    def _waiting(self) -> Any:
        return self.get_connection().filter(key=self.list_key, lock__lte=Now())

    def _held(self) -> Any:
        """Messages that a cluster has taken."""
        return self.get_connection().filter(key=self.list_key, lock__gt=Now())

    def take(self) -> list[tuple[int, str]]:
        if self._listener is None:
            self._listener = wakeup.listen(Conf.ORM, self.list_key)
        if time.monotonic() - self._cleaned >= conf.SWEEP_SECONDS:
            self._cleaned = time.monotonic()
            self.delete_finished()
        if messages := self._claim():
            return messages
        is_notified = self._listener.wait(self._interval)
        messages = self._claim()
        if is_notified or messages:  # a message without a notification: poll as often as django-q2 does
            self._interval = POLL_INTERVAL if is_notified else min(POLL_INTERVAL, Conf.POLL)
        return messages

    def _claim(self) -> list[tuple[int, str]]:
        """Take the oldest messages, and lock them for ``retry`` seconds."""
        waiting, held = self._waiting(), dt.timedelta(seconds=Conf.RETRY)
        oldest = waiting.order_by("pk").values_list("pk", "payload")
        if connections[Conf.ORM].features.has_select_for_update_skip_locked:
            with transaction.atomic(using=Conf.ORM):
                messages = list(oldest.select_for_update(skip_locked=True)[: Conf.BULK])
                if messages:
                    self._numbered([number for number, _ in messages]).update(lock=after(held))
            return messages
        messages = list(oldest[: Conf.BULK])
        numbers = [number for number, _ in messages]
        lock = Value(utc_now() + held, output_field=UTCDateTimeField())  # made here, to recognise the own rows by it
        if not messages or waiting.filter(pk__in=numbers).update(lock=lock) == len(messages):
            return messages
        mine = set(self._numbered(numbers).filter(lock=lock).values_list("pk", flat=True))
        return [message for message in messages if message[0] in mine]

    def _numbered(self, numbers: list[int]) -> Any:
        return self.get_connection().filter(pk__in=numbers)

    def release(self, messages: list[int]) -> None:
        if self._numbered(messages).update(lock=Now()):
            wakeup.notify(Conf.ORM, self.list_key)

    def delete(self, task_id: int) -> None:
        """Never raises: that would end the monitor or the pusher. ``delete_finished()`` deletes what is left."""
        for _ in range(2):
            try:
                super().delete(task_id)
                return
            except (DatabaseError, InterfaceError):
                connections[Conf.ORM].close()

    def delete_finished(self) -> int:
        """Delete messages about finished tasks, left by a monitor that died. Returns their number."""
        rows = self._held().filter(lock__lte=after(dt.timedelta(seconds=Conf.RETRY - stall_detector.STALL_SECONDS)))
        about = {number: _task_of(payload) for number, payload in rows.values_list("pk", "payload")[:BATCH]}
        tasks = {task for task in about.values() if task is not None}
        if not tasks:
            return 0
        alive = set(AsyncTask.objects.unfinished().filter(pk__in=tasks).values_list("pk", flat=True))
        over = [number for number, task in about.items() if task is not None and task not in alive]
        return int(self._numbered(over).delete()[0]) if over else 0

    def reconnect(self) -> None:
        listener, self._listener = self._listener, None
        super().reconnect()
        if listener is not None:
            listener.close()


def _task_of(payload: str) -> uuid.UUID | None:
    """The task of a message of the job ``run``; None for other messages."""
    try:
        message = SignedPackage.loads(freshly_signed(payload))
        return uuid.UUID(message["args"][0]) if message["func"] == ENTRY_POINTS["run"] else None
    except (BadSignature, ImportError, AttributeError, LookupError, TypeError, ValueError):
        return None
