"""How a protocol delivers its webhooks and callbacks: timeouts, success, retries."""

from __future__ import annotations

import datetime as dt

from ...protocol.values import value


@value
class DeliveryRules:
    """The rules of one protocol, as ``Dialect.DELIVERY_RULES`` names them. Times in seconds."""

    connect_timeout: float = 3
    read_timeout: float = 10
    """Longest silence of the receiver."""
    total_timeout: float = 15
    """Longest duration of one request, from the name lookup to the end of the response."""
    success_statuses: frozenset[int] = frozenset(range(200, 300))
    schedule: tuple[float, ...] | None = None
    """Pause before each attempt, the first included; None = the setting ``WEBHOOK_SCHEDULE``."""
    immediate_retries: int = 0
    """Further requests within one attempt, without a pause, after an unsuccessful status."""
    reconnects: int = 1
    """Further requests within one attempt when the connection was refused within a second."""
    retries_timeouts: bool = True
    """Whether a receiver that did not answer in time is tried again."""
    is_signed: bool = True
    """Whether messages are signed (Standard Webhooks)."""
    disabled_after: dt.timedelta = dt.timedelta(days=5)
    """A webhook whose deliveries have all failed for this long is disabled."""
