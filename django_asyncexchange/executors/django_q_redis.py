"""The broker under the dotted path that settings name."""

from __future__ import annotations

from .django_q.redis_broker import WakingRedis as WakingRedis
