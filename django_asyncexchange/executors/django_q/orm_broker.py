"""A broker for django-q2 with its queue in the database: ``Q_CLUSTER["broker_class"]``, together with ``"orm"``.

Calls of this app have no messages: see ``wake_ups``. Those of webhooks and of the project's own tasks are in the table
of django-q2's ORM broker. Messages are taken in order, workers are woken by the
commit, and errors of the database do not stop the cluster. Dates are compared with the database's clock, in UTC: the
clocks of web servers and workers differ.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import Value
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from ...models.querysets import after
from ...models.timestamps import Now, UTCDateTimeField, utc_now
from ...sql.queries import PreparedValues
from ...sql.writes import PreparedInsert
from .. import wakeup
from .guard import INTERVAL, GuardedBroker

MESSAGE = PreparedInsert(OrmQ, PreparedValues(lambda: OrmQ.objects.values("id", call=wakeup.NOTIFY)), lock=Now())


class WakingBroker(GuardedBroker, ORM):  # type: ignore[misc]
    """django-q2's ORM broker with notifications and a guard."""

    _listener: wakeup.Listener | None = None
    _interval = INTERVAL
    _found: Sequence[tuple[int, str]] = ()
    """The messages of the last look."""
    _is_quiet = False
    """Whether the last wait ended without a notification, while no task was ready."""

    @property
    def channel(self) -> str:  # type: ignore[override]
        return wakeup.channel(self.list_key)

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """Without closing the connections first, as django-q2's broker does each time."""
        return OrmQ.objects.using(Conf.ORM)

    def enqueue(self, task: str) -> int:
        message = OrmQ(key=self.list_key, payload=task)
        MESSAGE.insert(message, using=Conf.ORM, channel=self.channel)
        wakeup.notify(Conf.ORM, self.list_key, is_notified=True)
        return int(message.pk)

    def queue_size(self) -> int:
        return int(self._waiting().count())

    def lock_size(self) -> int:
        return int(self._held().count())

    def _waiting(self) -> Any:
        return self.get_connection().filter(key=self.list_key, lock__lte=Now())

    def _held(self) -> Any:
        """Messages that a cluster has taken."""
        return self.get_connection().filter(key=self.list_key, lock__gt=Now())

    def take(self, patience: float) -> list[tuple[int, str]]:
        is_busy, is_notified = self._wake_ups.is_busy, False
        is_missed, self._is_quiet = self._is_quiet and is_busy, False
        if self._listener is None:
            self._listener = wakeup.listen(Conf.ORM, self.list_key)
        elif not self._found:
            is_notified = self._listener.wait(min(patience, self._interval))
            self._is_quiet = not is_busy and not is_notified
        self._found = found = self._claim()
        if is_notified or found or is_missed:  # without a notification: poll as often as django-q2 does
            self._interval = INTERVAL if is_notified else min(INTERVAL, Conf.POLL)
        return found

    def wake(self) -> None:
        wakeup.notify(Conf.ORM, self.list_key)

    def _claim(self) -> list[tuple[int, str]]:
        """Take the oldest messages, and lock them for ``retry`` seconds."""
        waiting, held = self._waiting(), dt.timedelta(seconds=Conf.RETRY)
        oldest = waiting.order_by("pk").values_list("pk", "payload")
        if not waiting.exists():  # as a rule: calls have no messages
            return []
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
        """Never raises: that would end the monitor or the pusher. A message that is left is repeated."""
        for _ in range(2 if task_id > 0 else 0):
            try:
                super().delete(task_id)
                return
            except (DatabaseError, InterfaceError):
                connections[Conf.ORM].close()

    def reconnect(self) -> None:
        listener, self._listener = self._listener, None
        super().reconnect()
        if listener is not None:
            listener.close()
