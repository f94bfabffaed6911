"""Who is to hear of what has happened to a task: one row for each receiver, in the transaction that made it happen.

The rows are the outbox. Nothing is told of a change that was rolled back, and nothing that was committed is forgotten:
``delivery`` sends what is due, whether a message has reminded it or not.
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


def announce(task: AsyncTask, *actions: str, has_webhooks: bool) -> None:
    """Write down who is to hear of ``actions``: webhooks, if the account
    ``has_webhooks``, and callbacks.

    Call it inside the transaction of the change, with the changed row.
    """
    dialect = conf.mounted(task.dialect)
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
        transaction.on_commit(lambda: remind(rows), using=alias, robust=True)


def remind(rows: Iterable[Delivery]) -> None:
    """Tell the workers that something is due; where that fails, the next sweep does it."""
    keys = [row.pk for row in rows]
    try:
        executors.load().send(str(keys[0]), "deliver")
    except Exception:
        logger.exception("%d deliveries could not be queued; it is tried again", len(keys))
        Delivery.objects.filter(pk__in=keys).update(sent=None)


def _of_webhooks(task: AsyncTask, dialect: Dialect, actions: tuple[str, ...]) -> Iterator[Delivery]:
    wanted = Webhook.objects.filter(dialect=task.dialect, account=task.account, action__in=actions, enabled=True)
    for webhook in subscriptions.lock(*wanted.values_list("pk", flat=True)):  # one deleted now would undo the change
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
