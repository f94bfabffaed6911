"""Fairness: the workers are given a few unfinished tasks of each account at a time.

The others stay PENDING and unsent. Whenever a task ends, the next of its account is sent, or run at once by a worker
whose calls are short: a turn is a slice of time. A sweep sends for all accounts now and then, so that nobody waits for
ever because two things happened at once or a process died in between.
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

SLICE = 0.02
"""Seconds for which a worker goes on with the waiting calls of an account, in the place of a single one."""


def send_next(dialect: Dialect, account: str, *, waits: bool = True) -> int:
    """Send what ``account`` has waiting and may have at work, oldest first; returns how many.

    ``waits``: also for those that somebody else holds.
    """
    return sum(_send(key, waits=waits) for key in transitions.to_send(dialect.name, account, dialect.policy.share))


def pass_on(dialect: Dialect, account: str) -> None:
    """Send the next of ``account`` once the current change is committed."""
    transaction.on_commit(lambda: send_next(dialect, account), robust=True, using=router.db_for_write(AsyncTask))


def _send(pk: uuid.UUID, *, waits: bool) -> bool:
    """Send one task, unless somebody else does."""
    executor, alias = executors.load(), router.db_for_write(AsyncTask)
    is_transactional = executor.is_transactional(alias)
    with transaction.atomic(using=alias) if is_transactional or not waits else contextlib.nullcontext():
        is_mine = transitions.sent(pk, waits=waits)
        if is_mine and is_transactional:
            executor.send(str(pk))
    return is_mine and (is_transactional or hand_over(pk))


def hand_over(pk: uuid.UUID) -> bool:
    """Give the id of a task whose ``sent`` is set to the workers. What the broker refuses waits for the next sweep.

    Where the message had arrived and only its receipt was lost, it is sent twice, and one claim wins.
    """
    try:
        executors.load().send(str(pk))
    except Exception:
        logger.warning("task %s could not be queued; it is tried again", pk, exc_info=True)
        AsyncTask.objects.filter(pk=pk, state=State.PENDING).update(sent=None)
        return False
    return True


def sweep() -> int:
    """Send for every account that has calls waiting and a turn free; returns how many."""
    accounts = AsyncTask.objects.waiting().order_by().values_list("dialect", "account").distinct()
    mounts = {mount.name: mount for mount in conf.mounts}
    return sum(send_next(mounts[name], account, waits=False) for name, account in accounts if name in mounts)
