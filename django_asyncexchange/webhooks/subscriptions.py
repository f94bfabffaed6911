"""Webhook subscriptions: create, change, rotate the secret, delete.

A secret is shown once, when it is generated; afterwards it only signs. Every URL is checked before it is stored.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any

from django.db import DatabaseError, IntegrityError, router, transaction
from django.db.models import F, QuerySet

from .. import encryption
from ..conf import conf
from ..dialects.base import Dialect
from ..dialects.base.webhooks import WebhookFields
from ..exceptions import AddressRefused, SubscriptionExists, SubscriptionNotFound, TooManySubscriptions
from ..models import Account, Delivery, Webhook
from ..models.querysets import after
from ..protocol import address_rules
from ..protocol.values import Owner, Subscription
from ..store import db_retry
from . import signatures

ROTATION_OVERLAP = dt.timedelta(hours=24)
"""How long the former secret still signs beside the new one."""

OWNER_FIELDS = ("action", "url", "url_digest", "with_fields", "enabled", "disabled_reason", "failing_since")
"""Fields that ``change`` writes. Counters and secrets may have been updated by other processes meanwhile."""


def of_account(dialect: Dialect, account: str) -> QuerySet[Webhook]:
    """Webhooks of an account, newest first."""
    return Webhook.objects.filter(dialect=dialect.name, account=account).order_by("-created", "id")


def lock(*keys: uuid.UUID) -> list[Webhook]:
    """Lock these webhooks until the transaction ends; return those that exist.

    Webhooks are always locked before their deliveries, so that no deadlock arises.
    """
    rows = Webhook.objects.using(router.db_for_write(Webhook)).select_for_update()
    return list(rows.filter(pk__in=keys).order_by("pk")) if keys else []


def create(dialect: Dialect, owner: Owner, user_pk: Any, fields: WebhookFields) -> Subscription:
    """Create a webhook; return it with its secret. Raises AddressRefused, SubscriptionExists, TooManySubscriptions."""
    assert fields.url is not None
    address_rules.check(fields.url, conf.rules(dialect.policy))
    secret = signatures.new_secret()
    webhook = Webhook(
        dialect=dialect.name,
        account=owner.account,
        owner_id=user_pk,
        owner_kind=owner.kind,
        owner_reference=owner.id,
        action=fields.action or Webhook.PROCESSED,
        with_fields=bool(fields.with_fields),
        url=fields.url,
        enabled=fields.enabled is not False,
        secret=encryption.seal_secret(secret),
    )
    _save(webhook, dialect)
    return to_value(webhook, secret)


def change(webhook: Webhook, dialect: Dialect, fields: WebhookFields) -> Subscription:
    """Change ``webhook`` as ``fields`` says. Enabling it also resets its failures. Raises what ``create`` raises."""
    if fields.url is not None and fields.url != webhook.url:
        address_rules.check(fields.url, conf.rules(dialect.policy))
    for name in ("action", "url", "with_fields", "enabled"):
        wanted = getattr(fields, name)
        if wanted is not None:
            setattr(webhook, name, wanted)
    if fields.enabled:
        webhook.disabled_reason, webhook.failing_since = "", None
    _save(webhook, dialect, OWNER_FIELDS)
    return to_value(webhook)


@db_retry.retry_deadlocks
def _save(webhook: Webhook, dialect: Dialect, fields: Collection[str] | None = None) -> None:
    """Save ``webhook``, or only ``fields`` of it, within the account's limits. The account is locked meanwhile."""
    alias = router.db_for_write(Webhook)
    try:
        with transaction.atomic(using=alias):
            Account.objects.lock(dialect.name, webhook.account)
            if fields and not lock(webhook.pk):
                raise SubscriptionNotFound
            _check_limits(webhook, dialect)
            webhook.save(using=alias, update_fields=fields)
            webhook.refresh_from_db(using=alias)
    except IntegrityError as error:
        raise SubscriptionExists from error
    except DatabaseError as error:
        if db_retry.is_unstorable(error):  # characters that the column's character set cannot store
            raise AddressRefused from error
        raise


def _check_limits(webhook: Webhook, dialect: Dialect) -> None:
    others = of_account(dialect, webhook.account).exclude(pk=webhook.pk)
    if others.filter(action=webhook.action, url_digest=webhook.digest).exists():
        raise SubscriptionExists
    owner = Owner(account=webhook.account, kind=webhook.owner_kind, id=webhook.owner_reference)
    assert dialect.SUBSCRIPTIONS is not None
    allowed = dialect.SUBSCRIPTIONS.allowed(owner, webhook.action)
    alike = others.filter(action=webhook.action, owner_kind=webhook.owner_kind)
    if owner.kind == "application":
        alike = alike.filter(owner_reference=webhook.owner_reference)
    if others.count() >= dialect.policy.webhooks or (allowed is not None and alike.count() >= allowed):
        raise TooManySubscriptions


@db_retry.retry_deadlocks
def remove(webhook: Webhook) -> None:
    """Delete ``webhook`` and its deliveries, including those that are being inserted concurrently."""
    with transaction.atomic(using=router.db_for_write(Webhook)):
        Webhook.objects.filter(pk=webhook.pk).update(enabled=False)  # locks it, before its deliveries
        webhook.deliveries.filter(state=Delivery.WAITING).update(lease_until=None)  # no attempt is recorded any more
        Webhook.objects.filter(pk=webhook.pk).delete()


def rotate(webhook: Webhook) -> Subscription:
    """Replace the secret; return the webhook with the new one. For a day the former one signs too."""
    return to_value(webhook, _renew(Webhook.objects.filter(pk=webhook.pk)))


def callback_secret(dialect: str, account: str) -> str:
    """The secret that signs the callbacks of an account's calls."""
    return encryption.unseal_secret(signer(dialect, account).secret)


def rotate_callback_secret(dialect: str, account: str) -> str:
    """Replace that secret; return the new one. The former one signs too for a day."""
    return _renew(Account.objects.filter(pk=signer(dialect, account).pk))


@db_retry.retry_deadlocks
def signer(dialect: str, account: str) -> Account:
    """The account with its secret, which is generated on first use, and again if its encryption key is lost."""
    with transaction.atomic(using=router.db_for_write(Account)):
        Account.objects.lock(dialect, account)
        known: Account = Account.objects.get(dialect=dialect, account=account)
        if encryption.unseal_secret_or_none(known.secret) is None:
            known.secret = encryption.seal_secret(signatures.new_secret())
            known.save(update_fields=["secret"])
    return known


def _renew(rows: QuerySet[Any]) -> str:
    """Give ``rows``, which has one row, a new secret and return it."""
    secret = signatures.new_secret()
    rows.update(former_secret=F("secret"), former_until=after(ROTATION_OVERLAP), secret=encryption.seal_secret(secret))
    return secret


def to_value(webhook: Webhook, secret: str = "") -> Subscription:
    """``webhook`` as the value that dialects take."""
    return Subscription(
        id=webhook.pk,
        owner=Owner(account=webhook.account, kind=webhook.owner_kind, id=webhook.owner_reference),
        action=webhook.action,
        url=webhook.url,
        with_fields=webhook.with_fields,
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason,
        created=webhook.created,
        delivered=webhook.delivered,
        failed=webhook.failed,
        last_success=webhook.last_success,
        failing_since=webhook.failing_since,
        secret=secret,
    )
