"""A broker for django-q2 with its queue in Redis: ``Q_CLUSTER["broker_class"]``, together with ``"redis"``.

Redis wakes waiting workers by itself. The cluster is guarded as one with its queue in the database.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from django_q.brokers.redis_broker import Redis

from .guard import GuardedBroker

SOCKET_TIMEOUT = 5.0
"""Seconds to wait for an answer of the server, unless the project has a ``socket_timeout``."""


class WakingRedis(GuardedBroker, Redis):  # type: ignore[misc]
    """django-q2's Redis broker with a guard and read timeouts."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key)
        self._numbers = itertools.count(time.time_ns())
        """Ids: Redis has none. They are larger than those of an earlier pusher."""
        self._taken: dict[int, Any] = {}

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """A connection with a timeout: older versions of redis-py wait for ever for a server that has vanished."""
        connection = Redis.get_connection(list_key)
        options = connection.connection_pool.connection_kwargs
        if options.get("socket_timeout") is None:
            options["socket_timeout"] = SOCKET_TIMEOUT
        return connection

    def payloads(self, most: int) -> list[bytes]:
        """Payloads of at most ``most`` waiting messages, oldest first."""
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
        """Drop payloads that need not be released any more."""
        waiting = {*self._started_detector().waiting(), *list(self._taken)[-1:]}
        self._taken = {number: payload for number, payload in self._taken.items() if number in waiting}

    def release(self, messages: list[int]) -> None:
        payloads = [self._taken[number] for number in reversed(messages) if number in self._taken]
        if payloads:
            self.connection.lpush(self.list_key, *payloads)
