"""Throttle of advertisers: the rate ``campaigns`` in ``DEFAULT_THROTTLE_RATES``."""

from __future__ import annotations

from rest_framework.throttling import UserRateThrottle


class CampaignThrottle(UserRateThrottle):
    scope = "campaigns"
