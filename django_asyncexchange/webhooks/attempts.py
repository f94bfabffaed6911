"""One attempt of a delivery: build the request, send it, record the outcome and schedule the next attempt."""

from __future__ import annotations

import datetime as dt
import logging

from django.db import router, transaction
from django.db.models import F
from django.dispatch import Signal
from django.utils.translation import gettext_noop

from .. import encryption
from ..conf import conf
from ..dialects.base import DeliveryRules, Policy
from ..models import Delivery, DeliveryAttempt, Webhook
from ..models.querysets import after
from ..models.timestamps import Now, utc_now
from ..protocol.values import Headers
from ..signals import webhook_delivered, webhook_disabled, webhook_failed
from . import retry_policy, signatures, subscriptions
from .transport import Outcome, OutgoingRequest, send

logger = logging.getLogger("django_asyncexchange")

GONE = gettext_noop("The receiver answered 410 Gone.")
FAILING = gettext_noop("All deliveries have failed for days.")


def build_request(row: Delivery, rules: DeliveryRules) -> OutgoingRequest:
    """The HTTP request of this attempt, signed if the protocol signs."""
    mount = next((mount for mount in conf.mounts if mount.name == row.task.dialect), None)
    headers: Headers = (("User-Agent", conf.WEBHOOK_USER_AGENT), ("Accept", "*/*"))
    if row.content_type:
        headers += (("Content-Type", row.content_type),)
    if rules.is_signed:
        headers += signatures.sign(signing_secrets(row), id=str(row.pk), at=utc_now(), body=row.body)
    return OutgoingRequest(
        method=row.method,
        url=row.address or "",
        headers=headers,
        body=row.body.encode(),
        rules=conf.rules(mount.policy if mount else Policy()),
        proxy=conf.WEBHOOK_PROXY,
        connect=rules.connect_timeout,
        read=rules.read_timeout,
        total=rules.total_timeout,
    )


def signing_secrets(row: Delivery) -> list[str]:
    """The webhook's secret or, for a callback, the account's. After a rotation the former secret too, for a day."""
    holder = row.webhook or subscriptions.signer(row.task.dialect, row.task.account)
    secrets = [encryption.unseal_secret(holder.secret)]
    if holder.former_until is not None and utc_now() < holder.former_until:
        former = encryption.unseal_secret_or_none(holder.former_secret)
        secrets += [former] if former else []
    return secrets


def send_with_resends(outgoing: OutgoingRequest, rules: DeliveryRules) -> list[Outcome]:
    """Send, and resend immediately as often as the protocol says. Uses no database: it runs in a thread pool."""
    outcomes = [send(outgoing)]
    while retry_policy.retries_at_once(rules, outcomes[-1], len(outcomes)):
        outcomes.append(send(outgoing))
    return outcomes


def record(row: Delivery, rules: DeliveryRules, outcomes: list[Outcome]) -> None:
    """Record the outcome and schedule a retry or finish the delivery, unless the lease was lost meanwhile."""
    last = outcomes[-1]
    arrived = retry_policy.is_success(rules, last)
    pause = None if arrived else retry_policy.pause(rules, last, row.tries + 1, utc_now())
    changes: dict[str, object] = {"tries": F("tries") + 1, "lease_until": None}
    if pause is None:
        changes |= {"state": Delivery.DELIVERED if arrived else Delivery.FAILED, "finished": Now()}
    else:
        changes |= {"due": after(dt.timedelta(seconds=pause))}
    alias = router.db_for_write(Delivery)
    with transaction.atomic(using=alias):
        reason = _update_webhook(row.webhook, rules, last, arrived=arrived) if row.webhook and pause is None else ""
        mine = Delivery.objects.filter(pk=row.pk, state=Delivery.WAITING, lease_until=row.lease_until)
        if not mine.update(**changes):
            transaction.set_rollback(True, using=alias)
            return
        DeliveryAttempt.objects.bulk_create(
            DeliveryAttempt(
                delivery=row,
                status_code=outcome.status,
                milliseconds=outcome.milliseconds,
                error=outcome.error,
                answer=outcome.answer,
            )
            for outcome in outcomes
        )
    logger.info("delivery %s: attempt %d: %s", row.pk, row.tries + 1, last.status or last.error)
    if pause is None:
        _send_signal(webhook_delivered if arrived else webhook_failed, row)
    if reason:
        logger.warning("webhook %s was disabled: %s", row.webhook_id, reason)
        webhook_disabled.send_robust(sender=Webhook, webhook=row.webhook_id, reason=reason)


def give_up(row: Delivery) -> None:
    """Fail a delivery that is not to be sent any more, unless it is being sent right now."""
    mine = Delivery.objects.filter(pk=row.pk, state=Delivery.WAITING, lease_until=row.lease_until)
    if mine.update(state=Delivery.FAILED, finished=Now(), lease_until=None):
        _send_signal(webhook_failed, row)


def _send_signal(signal: Signal, row: Delivery) -> None:
    signal.send_robust(sender=Delivery, delivery=row.pk, webhook=row.webhook_id, task=row.task_id)


def _update_webhook(webhook: Webhook, rules: DeliveryRules, last: Outcome, *, arrived: bool) -> str:
    """Update the webhook's counters. Disable it after a 410, or if it has failed for too long; return the reason."""
    row = Webhook.objects.filter(pk=webhook.pk)
    if arrived:
        row.update(delivered=F("delivered") + 1, last_success=Now(), failing_since=None)
        return ""
    row.update(failed=F("failed") + 1)
    row.filter(failing_since=None).update(failing_since=Now())
    reason = GONE if last.status == 410 else FAILING
    failing = row.filter(enabled=True)
    if last.status != 410:
        failing = failing.filter(failing_since__lte=after(-rules.disabled_after))
    return str(reason) if failing.update(enabled=False, disabled_reason=reason) else ""
