"""Dispatch: only ``SHARE`` unfinished tasks of each account are sent to the workers at a time (fairness).

The others stay PENDING and unsent. When a task ends, the next of its account is sent, or claimed at once by a worker
whose calls are short. A periodic sweep dispatches for all accounts, in case a process has died or two changes happened
at once.
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

TIME_SLICE = 0.02
"""Seconds for which a worker keeps claiming an account's waiting tasks, instead of running a single one."""


def dispatch_account(dialect: Dialect, account: str, *, waits_for_locks: bool = True) -> int:
    """Send the oldest waiting tasks of ``account``, within its ``SHARE``; return their number.

    Without ``waits_for_locks``, locked tasks are skipped.
    """
    return sum(
        _dispatch(key, waits_for_locks=waits_for_locks)
        for key in transitions.to_dispatch(dialect.name, account, dialect.policy.share)
    )


def dispatch_after_commit(dialect: Dialect, account: str) -> None:
    """Dispatch the next task of ``account`` on commit."""
    transaction.on_commit(lambda: dispatch_account(dialect, account), robust=True, using=router.db_for_write(AsyncTask))


def _dispatch(pk: uuid.UUID, *, waits_for_locks: bool) -> bool:
    """Send one task, unless another process does."""
    executor, alias = executors.load(), router.db_for_write(AsyncTask)
    is_transactional = executor.is_transactional(alias)
    with transaction.atomic(using=alias) if is_transactional or not waits_for_locks else contextlib.nullcontext():
        is_mine = transitions.mark_sent(pk, waits_for_locks=waits_for_locks)
        if is_mine and is_transactional:
            executor.send(str(pk))
    return is_mine and (is_transactional or send_message(pk))


def send_message(pk: uuid.UUID) -> bool:
    """Send the queue message of a task whose ``sent`` is set. If the broker refuses it, the next sweep sends it.

    If the message arrived and only the confirmation was lost, it is sent twice, and one claim wins.
    """
    try:
        executors.load().send(str(pk))
    except Exception:
        logger.warning("task %s could not be queued; it is retried", pk, exc_info=True)
        AsyncTask.objects.filter(pk=pk, state=State.PENDING).update(sent=None)
        return False
    return True


def sweep() -> int:
    """Dispatch the waiting tasks of all accounts, within their ``SHARE``; return their number."""
    accounts = AsyncTask.objects.waiting().order_by().values_list("dialect", "account").distinct()
    mounts = {mount.name: mount for mount in conf.mounts}
    return sum(
        dispatch_account(mounts[name], account, waits_for_locks=False) for name, account in accounts if name in mounts
    )
