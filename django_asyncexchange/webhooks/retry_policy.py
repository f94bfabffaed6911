"""Retry policy of webhook deliveries: success, an immediate resend, a later attempt, or failure."""

from __future__ import annotations

import datetime as dt
import email.utils
import random

from ..conf import conf
from ..dialects.base import DeliveryRules
from .transport import Outcome

OVERLOADED = frozenset({429, 502, 504})
"""Statuses of an overloaded receiver."""
OVERLOADED_PAUSE = 60.0
"""Shortest pause in seconds after a timeout or one of these statuses."""
REFUSED_WITHIN = 1.0
"""A connection that is refused within so many seconds is retried immediately."""
JITTER = 0.2


def is_success(rules: DeliveryRules, outcome: Outcome) -> bool:
    return outcome.status in rules.success_statuses


def retries_at_once(rules: DeliveryRules, outcome: Outcome, requests: int) -> bool:
    """Whether to resend immediately, within the same attempt, after ``requests`` requests."""
    if outcome.status is not None:
        return not is_success(rules, outcome) and requests <= rules.immediate_retries
    is_refused = outcome.error == "connect" and outcome.milliseconds < 1000 * REFUSED_WITHIN
    return is_refused and requests <= rules.reconnects


def pause(rules: DeliveryRules, outcome: Outcome, attempts: int, now: dt.datetime) -> float | None:
    """Seconds until the next attempt, after ``attempts`` failed ones; None = no more attempts."""
    steps = rules.schedule if rules.schedule is not None else tuple(conf.WEBHOOK_SCHEDULE)
    if attempts >= len(steps) or outcome.status == 410 or outcome.error == "refused":
        return None
    if outcome.error == "timeout" and not rules.retries_timeouts:
        return None
    step = steps[attempts]
    if outcome.error == "timeout" or outcome.status in OVERLOADED:
        step = max(step, OVERLOADED_PAUSE)
    wanted = seconds_of(outcome.retry_after, now)
    if wanted is not None:
        return min(max(wanted, step), 2 * step)
    return step * random.uniform(1 - JITTER, 1 + JITTER)


def longest(rules: DeliveryRules) -> float:
    """The longest duration of one attempt, in seconds."""
    return rules.total_timeout * (1 + rules.immediate_retries) + REFUSED_WITHIN * rules.reconnects


def seconds_of(text: str, now: dt.datetime) -> float | None:
    """``Retry-After`` in seconds from ``now``, written as a number or as a date (RFC 9110 section 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - now, dt.timedelta()).total_seconds()
