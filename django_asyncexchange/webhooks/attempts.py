"""One try of a delivery: what is sent, and what follows from how it went."""

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
from ..models.moments import Now, utc
from ..models.querysets import after
from ..protocol.values import Headers
from ..signals import webhook_delivered, webhook_disabled, webhook_failed
from . import retry_policy, signatures, subscriptions
from .transport import Outcome, Outgoing, send

logger = logging.getLogger("django_asyncexchange")

GONE = gettext_noop("The receiver answered 410: it is gone.")
SILENT = gettext_noop("Nothing has arrived there for days.")


def letter(row: Delivery, rules: DeliveryRules) -> Outgoing:
    """What is sent on this try."""
    mount = next((mount for mount in conf.mounts if mount.name == row.task.dialect), None)
    headers: Headers = (("User-Agent", conf.WEBHOOK_USER_AGENT), ("Accept", "*/*"))
    if row.content_type:
        headers += (("Content-Type", row.content_type),)
    if rules.is_signed:
        headers += signatures.sign(secrets_of(row), id=str(row.pk), at=utc(), body=row.body)
    return Outgoing(
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


def secrets_of(row: Delivery) -> list[str]:
    """The secrets that sign: the webhook's or, for a callback, the account's, and the former one for a while."""
    holder = row.webhook or subscriptions.signer(row.task.dialect, row.task.account)
    secrets = [encryption.unseal_secret(holder.secret)]
    if holder.former_until is not None and utc() < holder.former_until:
        former = encryption.known_secret(holder.former_secret)
        secrets += [former] if former else []
    return secrets


def post(outgoing: Outgoing, rules: DeliveryRules) -> list[Outcome]:
    """Send, and what the protocol sends again at once. Touches no database: it runs beside others."""
    outcomes = [send(outgoing)]
    while retry_policy.retries_at_once(rules, outcomes[-1], len(outcomes)):
        outcomes.append(send(outgoing))
    return outcomes


def settle(row: Delivery, rules: DeliveryRules, outcomes: list[Outcome]) -> None:
    """Record how the try went and what comes next, if it is still ours."""
    last = outcomes[-1]
    arrived = retry_policy.is_success(rules, last)
    pause = None if arrived else retry_policy.pause(rules, last, row.tries + 1, utc())
    after_this: dict[str, object] = {"tries": F("tries") + 1, "lease_until": None}
    if pause is None:
        after_this |= {"state": Delivery.DELIVERED if arrived else Delivery.FAILED, "finished": Now()}
    else:
        after_this |= {"due": after(dt.timedelta(seconds=pause))}
    alias = router.db_for_write(Delivery)
    with transaction.atomic(using=alias):
        reason = _count(row.webhook, rules, last, arrived=arrived) if row.webhook and pause is None else ""
        mine = Delivery.objects.filter(pk=row.pk, state=Delivery.WAITING, lease_until=row.lease_until)
        if not mine.update(**after_this):
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
    logger.info("delivery %s: try %d, %s", row.pk, row.tries + 1, last.status or last.error)
    if pause is None:
        _tell(webhook_delivered if arrived else webhook_failed, row)
    if reason:
        logger.warning("webhook %s was disabled: %s", row.webhook_id, reason)
        webhook_disabled.send_robust(sender=Webhook, webhook=row.webhook_id, reason=reason)


def give_up(row: Delivery) -> None:
    """End a delivery that nobody waits for any more, unless it is on its way."""
    mine = Delivery.objects.filter(pk=row.pk, state=Delivery.WAITING, lease_until=row.lease_until)
    if mine.update(state=Delivery.FAILED, finished=Now(), lease_until=None):
        _tell(webhook_failed, row)


def _tell(signal: Signal, row: Delivery) -> None:
    signal.send_robust(sender=Delivery, delivery=row.pk, webhook=row.webhook_id, task=row.task_id)


def _count(webhook: Webhook, rules: DeliveryRules, last: Outcome, *, arrived: bool) -> str:
    """Keep the webhook's counters, and disable one that is gone or has been silent for too long: returns why."""
    row = Webhook.objects.filter(pk=webhook.pk)
    if arrived:
        row.update(delivered=F("delivered") + 1, last_success=Now(), failing_since=None)
        return ""
    row.update(failed=F("failed") + 1)
    row.filter(failing_since=None).update(failing_since=Now())
    reason = GONE if last.status == 410 else SILENT
    silent = row.filter(enabled=True)
    if last.status != 410:
        silent = silent.filter(failing_since__lte=after(-rules.disabled_after))
    return str(reason) if silent.update(enabled=False, disabled_reason=reason) else ""
