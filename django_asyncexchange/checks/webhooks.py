"""System check of the addresses that webhooks may call."""

from __future__ import annotations

from collections.abc import Iterator

from django.core import checks

from ..conf import conf
from .registry import CheckId, Finding, registered


@registered(checks.Tags.security)
def check_networks() -> Iterator[Finding]:
    if conf.WEBHOOK_ALLOWED_NETWORKS and not conf.project("DEBUG"):
        networks = ", ".join(conf.WEBHOOK_ALLOWED_NETWORKS)
        yield (
            CheckId.NETWORKS_OPEN,
            f"WEBHOOK_ALLOWED_NETWORKS lets everybody who may create webhooks send requests to {networks}.",
            "Leave it empty outside of development, or silence this where that is meant.",
        )
