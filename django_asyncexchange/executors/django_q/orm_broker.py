"""A broker for django-q2 whose queue is in the database: ``Q_CLUSTER["broker_class"]``, with ``"orm"`` as before.

The messages are those of django-q2's own broker, in the same table. They are handed out in the order of their arrival,
a commit wakes whoever waits for them, and what goes wrong is survived. Their dates are the database's, in UTC: the
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
from .guard import Guarded
from .messages import freshly_signed

PATIENCE = 1.0
"""Seconds between two looks into an empty queue whose bell works."""
BATCH = 500

MESSAGE = PreparedInsert(OrmQ, PreparedValues(lambda: OrmQ.objects.values("id", call=wakeup.CALL)), lock=Now())


class WakingBroker(Guarded, ORM):  # type: ignore[misc]
    _bell: wakeup.Bell | None = None
    _pause = PATIENCE
    _tidied = 0.0

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """django-q2's own closes the connections first, each time."""
        return OrmQ.objects.using(Conf.ORM)

    def enqueue(self, task: str) -> int:
        message = self._message(task)
        MESSAGE.insert(message, using=Conf.ORM, channel=wakeup.channel(self.list_key))
        wakeup.ring(Conf.ORM, self.list_key, has_called=True)
        return int(message.pk)

    def written(self, task: str) -> tuple[PreparedInsert, Mapping[str, Any]]:
        """How a statement of PostgreSQL enqueues it, with other things that it writes."""
        return MESSAGE, self._message(task).__dict__ | {"channel": wakeup.channel(self.list_key)}

    def _message(self, task: str) -> OrmQ:
        return OrmQ(key=self.list_key, payload=task)

    def payloads(self, most: int) -> Iterator[str]:
        """Those of the messages that wait, the oldest first, at most so many."""
        rows = self._waiting().order_by("pk").values_list("payload", flat=True)
        yield from rows[:most].iterator(chunk_size=BATCH)

    def queue_size(self) -> int:
        return int(self._waiting().count())

    def lock_size(self) -> int:
        return int(self._held().count())

    def _waiting(self) -> Any:
        return self.get_connection().filter(key=self.list_key, lock__lte=Now())

    def _held(self) -> Any:
        """Messages that were handed out."""
        return self.get_connection().filter(key=self.list_key, lock__gt=Now())

    def take(self) -> list[tuple[int, str]]:
        if self._bell is None:
            self._bell = wakeup.bell(Conf.ORM, self.list_key)
        if time.monotonic() - self._tidied >= conf.SWEEP_SECONDS:
            self._tidied = time.monotonic()
            self.tidy()
        if messages := self._claim():
            return messages
        rang = self._bell.wait(self._pause)
        messages = self._claim()
        if rang or messages:  # what came without a bell shows that it is not heard here: look more often
            self._pause = PATIENCE if rang else min(PATIENCE, Conf.POLL)
        return messages

    def _claim(self) -> list[tuple[int, str]]:
        """The oldest messages, until ``retry`` runs out."""
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
        lock = Value(utc_now() + held, output_field=UTCDateTimeField())  # known beforehand: it tells whose they are
        if not messages or waiting.filter(pk__in=numbers).update(lock=lock) == len(messages):
            return messages
        mine = set(self._numbered(numbers).filter(lock=lock).values_list("pk", flat=True))
        return [message for message in messages if message[0] in mine]

    def _numbered(self, numbers: list[int]) -> Any:
        return self.get_connection().filter(pk__in=numbers)

    def give_back(self, messages: list[int]) -> None:
        if self._numbered(messages).update(lock=Now()):
            wakeup.ring(Conf.ORM, self.list_key)

    def delete(self, task_id: int) -> None:
        """Never raises: it would take the monitor or the pusher with it. What stays is found by ``tidy``."""
        for _ in range(2):
            try:
                super().delete(task_id)
                return
            except (DatabaseError, InterfaceError):
                connections[Conf.ORM].close()

    def tidy(self) -> int:
        """Delete messages about tasks that have ended: their monitor has died over them. Returns how many."""
        rows = self._held().filter(lock__lte=after(dt.timedelta(seconds=Conf.RETRY - stall_detector.PATIENCE)))
        about = {number: _task_of(payload) for number, payload in rows.values_list("pk", "payload")[:BATCH]}
        tasks = {task for task in about.values() if task is not None}
        if not tasks:
            return 0
        alive = set(AsyncTask.objects.unfinished().filter(pk__in=tasks).values_list("pk", flat=True))
        over = [number for number, task in about.items() if task is not None and task not in alive]
        return int(self._numbered(over).delete()[0]) if over else 0

    def reconnect(self) -> None:
        bell, self._bell = self._bell, None
        super().reconnect()
        if bell is not None:
            bell.close()


def _task_of(payload: str) -> uuid.UUID | None:
    """The task that a message wants to be run; None where it wants something else."""
    try:
        message = SignedPackage.loads(freshly_signed(payload))
        return uuid.UUID(message["args"][0]) if message["func"] == ENTRY_POINTS["run"] else None
    except (BadSignature, ImportError, AttributeError, LookupError, TypeError, ValueError):
        return None
