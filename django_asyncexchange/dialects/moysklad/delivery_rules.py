"""How MoySklad delivers webhooks, as its JSON API 1.2 documents it."""

from __future__ import annotations

import datetime as dt

from ..base import DeliveryRules

MOYSKLAD = DeliveryRules(
    connect_timeout=0.7,
    read_timeout=1.5,
    total_timeout=1.5,
    success_statuses=frozenset({200, 204}),
    schedule=(0,),
    immediate_retries=3,
    reconnects=3,
    retries_timeouts=False,
    is_signed=False,
    disabled_after=dt.timedelta(days=10),
)
"""A receiver has 1.5 seconds for 200 or 204; three more requests follow at once, and that is all."""
