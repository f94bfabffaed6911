"""Retry rules of webhook deliveries, by protocol: what counts as success, what is retried and when."""

from __future__ import annotations

import datetime as dt
import email.utils
import random
from collections.abc import Mapping

from ..conf import conf
from ..protocol.values import value
from .transport import Outcome

SLOW_DOWN = frozenset({429, 502, 504})
"""Statuses of an overloaded receiver."""
QUICK_SECONDS = 1.0
"""A connection that is refused within this time is retried immediately."""
SLOW_DOWN_SECONDS = 60.0
"""Shortest pause after a timeout or one of these statuses."""
JITTER = 0.2


@value
class Profile:
    """The delivery rules of one protocol. Times in seconds."""

    connect: float = 3
    read: float = 10
    total: float = 15
    successes: frozenset[int] = frozenset(range(200, 300))
    schedule: tuple[float, ...] | None = None
    """Pause before each attempt; None = ``WEBHOOK_SCHEDULE``."""
    at_once: int = 0
    """Immediate resends within one attempt, when the receiver answers with an error status."""
    reconnects: int = 1
    """Immediate resends within one attempt, when the connection is refused within ``QUICK_SECONDS``."""
    repeats_timeouts: bool = True
    is_signed: bool = True
    disable_after: dt.timedelta = dt.timedelta(days=5)
    """A webhook is disabled when all its deliveries have failed for longer than this."""

    def is_success(self, outcome: Outcome) -> bool:
        return outcome.status in self.successes

    def again_at_once(self, outcome: Outcome, sends: int) -> bool:
        """Whether to resend immediately, within the same attempt, after ``sends`` sends."""
        if outcome.status is not None:
            return not self.is_success(outcome) and sends <= self.at_once
        return outcome.error == "connect" and outcome.milliseconds < 1000 * QUICK_SECONDS and sends <= self.reconnects

    def pause(self, outcome: Outcome, tries: int, now: dt.datetime) -> float | None:
        """Seconds to wait after attempt number ``tries`` failed; None = give up."""
        steps = self.schedule if self.schedule is not None else tuple(conf.WEBHOOK_SCHEDULE)
        if tries >= len(steps) or outcome.status == 410 or outcome.error == "refused":
            return None
        if outcome.error == "timeout" and not self.repeats_timeouts:
            return None
        step = steps[tries]
        if outcome.error == "timeout" or outcome.status in SLOW_DOWN:
            step = max(step, SLOW_DOWN_SECONDS)
        wanted = seconds_of(outcome.retry_after, now)
        if wanted is not None:
            return min(max(wanted, step), 2 * step)
        return step * random.uniform(1 - JITTER, 1 + JITTER)

    @property
    def longest(self) -> float:
        """How long one attempt may take, in seconds."""
        return self.total * (1 + self.at_once) + QUICK_SECONDS * self.reconnects


PROFILES: Mapping[str, Profile] = {
    "signed": Profile(),
    # MoySklad: 200 or 204 within 1.5 s, three immediate resends, no retry later.
    "moysklad": Profile(
        connect=0.7,
        read=1.5,
        total=1.5,
        successes=frozenset({200, 204}),
        schedule=(0,),
        at_once=3,
        reconnects=3,
        repeats_timeouts=False,
        is_signed=False,
        disable_after=dt.timedelta(days=10),
    ),
    "mailru": Profile(total=10, schedule=(0, 30, 120), is_signed=False),
}


def seconds_of(text: str, now: dt.datetime) -> float | None:
    """``Retry-After`` in seconds from ``now``, written as a number or as a date (RFC 9110 section 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - now, dt.timedelta()).total_seconds()
