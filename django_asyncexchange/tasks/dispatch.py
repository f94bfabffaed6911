"""Dispatch: only ``SHARE`` unfinished tasks of each account are dispatched at a time (fairness).

The others stay PENDING with ``sent`` unset. A dispatched task is *ready*: the next free worker claims those that were
dispatched first, of whatever account. Each end dispatches the next task of its account, in the same commit. A periodic
sweep dispatches for all accounts, in case a process has died or two changes happened at once.

Workers that read the table are notified of a ready task, others get a message with its id.
"""

from __future__ import annotations

import contextlib
import logging
import uuid

from django.db import router, transaction

from .. import executors
from ..conf import conf
from ..dialects.base import Dialect
from ..models import AsyncTask
from ..protocol.states import State
from ..store import transitions

logger = logging.getLogger("django_asyncexchange")


def dispatch_account(dialect: Dialect, account: str) -> int:
    """Dispatch the oldest waiting tasks of ``account``, within its ``SHARE``; return their number.

    Tasks that another transaction has locked are skipped.
    """
    count = 0
    while _dispatch_next(dialect, account):
        count += 1
    return count


def _dispatch_next(dialect: Dialect, account: str) -> bool:
    executor, alias = executors.load(), router.db_for_write(AsyncTask)
    is_transactional = executor.is_transactional(alias)
    with transaction.atomic(using=alias) if is_transactional else contextlib.nullcontext():
        key = transitions.dispatch_next(dialect.name, account, dialect.policy.share)
        if key is not None and is_transactional:
            executor.send(str(key))
    return key is not None and (is_transactional or send_message(key))


def notify_after_commit(pk: uuid.UUID, *, is_worker: bool) -> None:
    """Have a worker run the dispatched task ``pk`` after the commit. ``is_worker``: this process goes on as one."""
    alias = router.db_for_write(AsyncTask)
    if not is_worker or not executors.load().reads_tasks():
        transaction.on_commit(lambda: send_message(pk), using=alias, robust=True)


def send_message(pk: uuid.UUID) -> bool:
    """Send the queue message of a dispatched task. If the broker refuses it, the next sweep sends it.

    If the message arrived and only the confirmation was lost, it is sent twice, and one claim wins.
    """
    try:
        executors.load().send(str(pk))
    except Exception:
        logger.warning("task %s could not be queued; it is retried", pk, exc_info=True)
        if executors.load().reads_tasks():
            return True  # a worker's next look finds it
        AsyncTask.objects.filter(pk=pk, state=State.PENDING).update(sent=None)
        return False
    return True


def sweep() -> int:
    """Dispatch the waiting tasks of all accounts, within their ``SHARE``; return their number."""
    accounts = AsyncTask.objects.waiting().order_by().values_list("dialect", "account").distinct()
    mounts = {mount.name: mount for mount in conf.mounts}
    return sum(dispatch_account(mounts[name], account) for name, account in accounts if name in mounts)
