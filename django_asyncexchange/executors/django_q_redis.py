"""The name under which a project's ``Q_CLUSTER`` has the broker."""

from __future__ import annotations

from .django_q.redis_broker import WakingRedis as WakingRedis
