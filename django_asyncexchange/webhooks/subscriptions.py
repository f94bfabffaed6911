"""Webhooks as their owners manage them: made, changed, given a new secret, removed.

A secret is told once, when it is made; afterwards it only signs. Every address is looked at before it is kept.
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
from ..dialects.base.webhooks import Wish
from ..exceptions import AddressRefused, SubscriptionExists, SubscriptionNotFound, TooManySubscriptions
from ..models import Account, Delivery, Webhook
from ..models.querysets import after
from ..protocol import address_rules
from ..protocol.values import Owner, Subscription
from ..store import db_retry
from . import signatures

OVERLAP = dt.timedelta(hours=24)
"""How long a secret that was replaced still signs beside the new one."""

OF_ITS_OWNER = ("action", "url", "url_digest", "with_fields", "enabled", "disabled_reason", "failing_since")
"""What a change writes. Counters and secrets may have been changed meanwhile, by others."""


def of_account(dialect: Dialect, account: str) -> QuerySet[Webhook]:
    """The webhooks of an account, newest first."""
    return Webhook.objects.filter(dialect=dialect.name, account=account).order_by("-created", "id")


def held(*keys: uuid.UUID) -> list[Webhook]:
    """Those of these webhooks that still exist; they will until the transaction ends. Nobody holds deliveries first."""
    rows = Webhook.objects.using(router.db_for_write(Webhook)).select_for_update()
    return list(rows.filter(pk__in=keys).order_by("pk")) if keys else []


def create(dialect: Dialect, owner: Owner, user_pk: Any, wish: Wish) -> Subscription:
    """A new webhook, with its secret. Raises AddressRefused, SubscriptionExists or TooManySubscriptions."""
    assert wish.url is not None
    address_rules.check(wish.url, conf.rules(dialect.policy))
    secret = signatures.new_secret()
    webhook = Webhook(
        dialect=dialect.name,
        account=owner.account,
        owner_id=user_pk,
        owner_kind=owner.kind,
        owner_reference=owner.id,
        action=wish.action or Webhook.PROCESSED,
        with_fields=bool(wish.with_fields),
        url=wish.url,
        enabled=wish.enabled is not False,
        secret=encryption.seal_secret(secret),
    )
    _keep(webhook, dialect)
    return value_of(webhook, secret)


def change(webhook: Webhook, dialect: Dialect, wish: Wish) -> Subscription:
    """``webhook`` as ``wish`` wants it; raises as ``create``. Whoever enables it has it start afresh."""
    if wish.url is not None and wish.url != webhook.url:
        address_rules.check(wish.url, conf.rules(dialect.policy))
    for name in ("action", "url", "with_fields", "enabled"):
        wanted = getattr(wish, name)
        if wanted is not None:
            setattr(webhook, name, wanted)
    if wish.enabled:
        webhook.disabled_reason, webhook.failing_since = "", None
    _keep(webhook, dialect, OF_ITS_OWNER)
    return value_of(webhook)


@db_retry.again_if_deadlocked
def _keep(webhook: Webhook, dialect: Dialect, fields: Collection[str] | None = None) -> None:
    """Save it, or only these ``fields`` of it, if there is room: counted and saved by one at a time."""
    alias = router.db_for_write(Webhook)
    try:
        with transaction.atomic(using=alias):
            Account.objects.hold(dialect.name, webhook.account)
            if fields and not held(webhook.pk):
                raise SubscriptionNotFound
            _require_room(webhook, dialect)
            webhook.save(using=alias, update_fields=fields)
            webhook.refresh_from_db(using=alias)
    except IntegrityError as error:
        raise SubscriptionExists from error
    except DatabaseError as error:
        if db_retry.is_unfit(error):  # letters of an address that the column's character set does not have
            raise AddressRefused from error
        raise


def _require_room(webhook: Webhook, dialect: Dialect) -> None:
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


@db_retry.again_if_deadlocked
def remove(webhook: Webhook) -> None:
    """Delete it, with all that was to be sent there, what is being written down meanwhile too."""
    with transaction.atomic(using=router.db_for_write(Webhook)):
        Webhook.objects.filter(pk=webhook.pk).update(enabled=False)  # holds it, before its deliveries, as others do
        webhook.deliveries.filter(state=Delivery.WAITING).update(lease_until=None)  # no try of theirs is recorded now
        Webhook.objects.filter(pk=webhook.pk).delete()


def rotate(webhook: Webhook) -> Subscription:
    """A new secret, told once. The former one signs too for a day, so that the receiver can change over."""
    return value_of(webhook, _renew(Webhook.objects.filter(pk=webhook.pk)))


def callback_secret(dialect: str, account: str) -> str:
    """What callbacks of single calls of ``account`` are signed with."""
    return encryption.unseal_secret(signer(dialect, account).secret)


def rotate_callback_secret(dialect: str, account: str) -> str:
    """A new one; the former one signs too for a day."""
    return _renew(Account.objects.filter(pk=signer(dialect, account).pk))


@db_retry.again_if_deadlocked
def signer(dialect: str, account: str) -> Account:
    """The account with its secret, made when it is first asked for, and anew when the key to it is gone."""
    with transaction.atomic(using=router.db_for_write(Account)):
        Account.objects.hold(dialect, account)
        known: Account = Account.objects.get(dialect=dialect, account=account)
        if encryption.known_secret(known.secret) is None:
            known.secret = encryption.seal_secret(signatures.new_secret())
            known.save(update_fields=["secret"])
    return known


def _renew(rows: QuerySet[Any]) -> str:
    """The new secret of the only one of ``rows``."""
    secret = signatures.new_secret()
    rows.update(former_secret=F("secret"), former_until=after(OVERLAP), secret=encryption.seal_secret(secret))
    return secret


def value_of(webhook: Webhook, secret: str = "") -> Subscription:
    """``webhook`` as a dialect sees it."""
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
