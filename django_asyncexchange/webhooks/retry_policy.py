"""How deliveries are made, by protocol: what counts as success, what is tried again and when."""

from __future__ import annotations

import datetime as dt
import email.utils
import random
from collections.abc import Mapping

from ..conf import conf
from ..protocol.values import value
from .transport import Outcome

SLOW_DOWN = frozenset({429, 502, 504})
"""Statuses of a receiver that has too much to do."""
QUICKLY = 1.0
"""Seconds within which a connection has to be refused to be tried once more at once."""
SLOWLY = 60.0
"""Shortest pause after one of those, in seconds."""
JITTER = 0.2


@value
class Profile:
    """The rules of one protocol. Times in seconds."""

    connect: float = 3
    read: float = 10
    total: float = 15
    successes: frozenset[int] = frozenset(range(200, 300))
    schedule: tuple[float, ...] | None = None
    """Pause before each try; None = ``WEBHOOK_SCHEDULE``."""
    at_once: int = 0
    """Further sends of one try, without a pause, when the receiver answers with a bad status."""
    reconnects: int = 1
    """Further sends of one try when the connection was refused within a second."""
    repeats_timeouts: bool = True
    is_signed: bool = True
    patience: dt.timedelta = dt.timedelta(days=5)
    """A webhook whose deliveries all fail for longer is disabled."""

    def is_success(self, outcome: Outcome) -> bool:
        return outcome.status in self.successes

    def again_at_once(self, outcome: Outcome, sends: int) -> bool:
        """Whether to send once more within the same try, after ``sends`` sends."""
        if outcome.status is not None:
            return not self.is_success(outcome) and sends <= self.at_once
        return outcome.error == "connect" and outcome.milliseconds < 1000 * QUICKLY and sends <= self.reconnects

    def pause(self, outcome: Outcome, tries: int, now: dt.datetime) -> float | None:
        """How long to wait after the ``tries``-th try failed; None = it is given up."""
        steps = self.schedule if self.schedule is not None else tuple(conf.WEBHOOK_SCHEDULE)
        if tries >= len(steps) or outcome.status == 410 or outcome.error == "refused":
            return None
        if outcome.error == "timeout" and not self.repeats_timeouts:
            return None
        step = steps[tries]
        if outcome.error == "timeout" or outcome.status in SLOW_DOWN:
            step = max(step, SLOWLY)
        wanted = seconds_of(outcome.retry_after, now)
        if wanted is not None:
            return min(max(wanted, step), 2 * step)
        return step * random.uniform(1 - JITTER, 1 + JITTER)

    @property
    def longest(self) -> float:
        """For how long one try may take, in seconds."""
        return self.total * (1 + self.at_once) + QUICKLY * self.reconnects


PROFILES: Mapping[str, Profile] = {
    "signed": Profile(),
    # Contract B7: 200 or 204 within 1.5 s, three more at once, and that is all.
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
        patience=dt.timedelta(days=10),
    ),
    # Contract A7.
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
