"""A broker for django-q2 whose queue is in Redis: ``Q_CLUSTER["broker_class"]``, with ``"redis"`` as before.

Redis wakes whoever waits by itself. The cluster is guarded like one whose queue is in the database.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from django_q.brokers.redis_broker import Redis

from .guard import Guarded

READING = 5.0
"""For how many seconds a server that says nothing is listened to, unless the project says it."""


class WakingRedis(Guarded, Redis):  # type: ignore[misc]
    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self._numbers = itertools.count(time.time_ns())
        """Messages have none here; these are larger than those of a pusher that came before."""
        self._taken: dict[int, Any] = {}

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """One whose reads end: older versions of redis-py wait for ever for a server that has vanished."""
        connection = Redis.get_connection(list_key)
        options = connection.connection_pool.connection_kwargs
        if options.get("socket_timeout") is None:
            options["socket_timeout"] = READING
        return connection

    def payloads(self, most: int) -> list[bytes]:
        """Those of the messages that wait, the oldest first, at most so many."""
        return list(self.connection.lrange(self.list_key, 0, most - 1))

    def take(self) -> list[tuple[int, Any]]:
        found = self.connection.blpop([self.list_key], 1)
        if not found:
            return []
        number = next(self._numbers)
        self._taken[number] = found[1]
        self._forget()
        return [(number, found[1])]

    def _forget(self) -> None:
        """Payloads are kept while they may have to be given back."""
        waiting = {*self._book().waiting(), *list(self._taken)[-1:]}
        self._taken = {number: payload for number, payload in self._taken.items() if number in waiting}

    def give_back(self, messages: list[int]) -> None:
        payloads = [self._taken[number] for number in reversed(messages) if number in self._taken]
        if payloads:
            self.connection.lpush(self.list_key, *payloads)
