"""Transactional outbox: one ``Delivery`` row for each receiver of an event, inserted in the transaction of the change.

No event is sent for a change that was rolled back, and none of a committed change is lost: ``delivery`` sends what is
due, whether or not the queue message arrives.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from django.db import router, transaction

from .. import encryption, executors
from ..conf import conf
from ..dialects.base import Dialect
from ..models import AsyncTask, Delivery, Webhook
from ..models.timestamps import Now
from ..protocol.values import Event, Notice
from . import subscriptions

logger = logging.getLogger("django_asyncexchange")


def add(task: AsyncTask, *actions: str, has_webhooks: bool) -> None:
    """Insert the deliveries of the events ``actions``: to webhooks, if the account ``has_webhooks``, and to the
    callback.

    Call it in the transaction of the change, with the changed row.
    """
    dialect = conf.mounted(task.dialect) if has_webhooks or task.callback_url else None
    if dialect is None:
        return
    webhooks = _of_webhooks(task, dialect, actions) if has_webhooks and dialect.SUBSCRIPTIONS else ()
    rows = [*webhooks, *_of_callback(task, dialect, actions)]
    if not rows:
        return
    alias = router.db_for_write(Delivery)
    Delivery.objects.using(alias).bulk_create(rows)
    executor = executors.load()
    if executor.is_transactional(alias):
        executor.send(str(rows[0].pk), "deliver")
    else:
        transaction.on_commit(lambda: enqueue(rows), using=alias, robust=True)


def enqueue(rows: Iterable[Delivery]) -> None:
    """Send a queue message for ``rows``; if that fails, the next sweep sends them."""
    keys = [row.pk for row in rows]
    try:
        executors.load().send(str(keys[0]), "deliver")
    except Exception:
        logger.exception("%d webhook deliveries could not be queued; it is retried", len(keys))
        Delivery.objects.filter(pk__in=keys).update(sent=None)


def _of_webhooks(task: AsyncTask, dialect: Dialect, actions: tuple[str, ...]) -> Iterator[Delivery]:
    wanted = Webhook.objects.filter(dialect=task.dialect, account=task.account, action__in=actions, enabled=True)
    # Locked, because the concurrent delete of a webhook would roll the change back.
    for webhook in subscriptions.lock(*wanted.values_list("pk", flat=True)):
        if any(webhook.url.startswith(prefix) for prefix in task.muted):
            continue
        fields = ("state",) if webhook.action == Webhook.UPDATE and webhook.with_fields else ()
        row = Delivery(webhook=webhook, task=task, event=webhook.action)
        event = Event(action=webhook.action, task=task.snapshot(), base=task.base, fields=fields)
        yield _filled(row, dialect.notification(event, webhook.url, row.pk))


def _of_callback(task: AsyncTask, dialect: Dialect, actions: tuple[str, ...]) -> Iterator[Delivery]:
    known = task.snapshot() if task.callback_url and Webhook.PROCESSED in actions else None
    if known is None or known.callback is None:
        return
    row = Delivery(task=task, event=Delivery.CALLBACK)
    event = Event(action=Webhook.PROCESSED, task=known, base=task.base)
    notice = dialect.called_back(known.callback, event, row.pk)
    if notice is not None:
        yield _filled(row, notice)


def _filled(row: Delivery, notice: Notice) -> Delivery:
    row.method, row.content_type, row.body = notice.method, notice.content_type, notice.body
    row.url = encryption.seal_secret(notice.url)
    row.host = urlsplit(notice.url).netloc.lower()[:255]
    row.sent = Now()  # by the database's clock
    return row
