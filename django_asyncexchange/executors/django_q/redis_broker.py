"""A broker for django-q2 with its queue in Redis: ``Q_CLUSTER["broker_class"]``, together with ``"redis"``.

Calls of this app have no messages: see ``wake_ups``. Redis wakes the clusters that wait for them, and has the messages
of webhooks and of the project's own tasks. The cluster is guarded as one with its queue in the database.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

from django_q.brokers.redis_broker import Redis
from redis.exceptions import ResponseError

from .guard import GuardedBroker

SOCKET_TIMEOUT = 5.0
"""Seconds to wait for an answer of the server, unless the project has a ``socket_timeout``."""

MAX_WAKES = 8
"""Clusters that are woken at once; others look by themselves within a second."""


class WakingRedis(GuardedBroker, Redis):  # type: ignore[misc]
    """django-q2's Redis broker with a guard and read timeouts."""

    _patience = 0
    """Seconds, if the server only waits for whole ones."""

    @functools.cached_property  # as the next: not in __init__(), which an unpickled broker has not called
    def _numbers(self) -> Iterator[int]:
        """Ids: Redis has none. They are larger than those of an earlier pusher."""
        return itertools.count(time.time_ns())

    @functools.cached_property
    def _taken(self) -> dict[int, Any]:
        """The payloads by id that may have to be released."""
        return {}

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """A connection with a timeout: older versions of redis-py wait for ever for a server that has vanished."""
        connection = Redis.get_connection(list_key)
        options = connection.connection_pool.connection_kwargs
        if options.get("socket_timeout") is None:
            options["socket_timeout"] = SOCKET_TIMEOUT
        return connection

    def take(self, patience: float) -> list[tuple[int, Any]]:
        found = self._pop(patience)
        if not found or found[0] in (self._wake_list, self._wake_list.encode()):
            return []
        number = next(self._numbers)
        self._taken[number] = found[1]
        self._forget()
        return [(number, found[1])]

    def _pop(self, patience: float) -> Any:
        """Wait for the next message or a call of ``wake()``. Redis before 6.0 waits for whole seconds only."""
        try:
            return self.connection.blpop([self.list_key, self._wake_list], self._patience or patience)
        except ResponseError as error:
            if "integer" in str(error):
                self._patience = math.ceil(patience)
            raise

    @property
    def _wake_list(self) -> str:
        """The list whose entries wake clusters."""
        return f"{self.list_key}:wake"

    def wake(self) -> None:
        with self.connection.pipeline() as pipeline:
            pipeline.rpush(self._wake_list, 1).ltrim(self._wake_list, 0, MAX_WAKES - 1).execute()

    def _forget(self) -> None:
        """Drop payloads that need not be released any more."""
        waiting = {*self._started_detector().waiting(), *list(self._taken)[-1:]}
        self._taken = {number: payload for number, payload in self._taken.items() if number in waiting}

    def release(self, messages: list[int]) -> None:
        payloads = [self._taken[number] for number in reversed(messages) if number in self._taken]
        if payloads:
            self.connection.lpush(self.list_key, *payloads)
