"""Claiming a task, and sweeping with nothing to do, beside a million finished tasks and beside a thousand."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Callable, Iterator

from django.db import router, transaction
from django.db.models.functions import Now
from django.test.utils import override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.models.querysets import EPOCH
from django_asyncexchange.models.timestamps import utc_now
from django_asyncexchange.store import transitions
from django_asyncexchange.tasks import dispatch, lifecycle, pruning, recovery
from django_asyncexchange.webhooks import delivery

from . import tables
from .door import Door
from .figures import ROUNDS, Figure, figure, interleaved, scale
from .plans import sequential_scans

ROWS, ACCOUNTS, FEW = scale(1_000_000, 5000), 1000, 1000
SMALL = f"the same at {FEW:,} rows"
FLOOD, TRICKLE = scale(50_000, 500), 100
UNVACUUMED = scale(200_000, 1000)


def sweep() -> None:
    recovery.recover()
    dispatch.sweep()
    delivery.sweep()


def measure() -> Iterator[Figure]:
    tables.fill("default", FEW, ACCOUNTS)
    tables.fill("large", ROWS, ACCOUNTS)
    for alias in ("default", "large"):
        tables.settle(alias)
    work = {"Sweep, nothing to do": always(sweep), "Prune, nothing to do": always(prune), "Claim a task": claiming}
    for what, prepare in work.items():
        calls = scale(100, 5)
        ready = {alias: prepare(alias, calls) for alias in ("large", "default")}
        scans = sequential_scans("large", within("large", ready["large"]))
        contestants = {"ours": within("large", ready["large"]), SMALL: within("default", ready["default"])}
        yield figure(
            interleaved(contestants, calls),
            SMALL,
            name=f"{what}, {ROWS:,} finished tasks",
            target=1.2,
            fault=f"{len(scans)} sequential scans" if scans else "",
        )

    yield from waiting()
    yield from unvacuumed()


def waiting() -> Iterator[Figure]:
    """A worker's look for its next call, and the dispatch of an account's; nobody has analysed the tables since the
    calls came.
    """
    share = conf.dialect("prefer").policy.share
    for alias, calls in (("large", FLOOD), ("default", TRICKLE)):
        with tables.of(alias):
            like = AsyncTask.objects.first()
            values = {field.attname: getattr(like, field.attname) for field in AsyncTask._meta.concrete_fields}
            values |= {"account": "flooder", "state": "PENDING", "finished": None, "sent": None, "created": Now()}
            for _ in range(calls // 100):
                AsyncTask.objects.bulk_create([AsyncTask(**values | {"id": uuid.uuid4()}) for _ in range(100)])

    few = f"the same with {TRICKLE} of them"
    dispatch_next = undone(lambda: transitions.dispatch_next("prefer", "flooder", share))
    claim_next = undone(lambda: lifecycle.claim_next(lifecycle.look()))
    for name, work in (("Dispatch the next of an account", dispatch_next), ("Claim the next", claim_next)):
        if work is claim_next:
            for alias in ("large", "default"):
                with tables.of(alias):
                    AsyncTask.objects.filter(account="flooder").update(sent=Now())
        contestants = {"ours": within("large", work), few: within("default", work)}
        yield figure(interleaved(contestants, scale(100, 5)), few, name=f"{name}, {FLOOD:,} calls waiting", target=1.2)


def unvacuumed() -> Iterator[Figure]:
    """A worker's first look after many calls, and its next ones, which begin where the last has ended."""
    tables.run_without_vacuum("large", UNVACUUMED)
    for name, since in (("Claim the first", EPOCH), ("Claim the next", utc_now() - dt.timedelta(hours=1))):
        work = undone(lambda since=since: lifecycle.claim_next(dataclasses.replace(lifecycle.look(), since=since)))
        small = "the same without them"
        contestants = {"ours": within("large", work), small: within("default", work)}
        what = f"{name}, after {UNVACUUMED:,} calls without VACUUM"
        yield figure(interleaved(contestants, scale(100, 5)), small, name=what, target=1.2)


def undone(work: Callable[[], object]) -> Callable[[], object]:
    """``work`` in a transaction that is rolled back; it finds something."""

    def go() -> None:
        alias = router.db_for_write(AsyncTask)
        with transaction.atomic(using=alias):
            assert work() is not None
            transaction.set_rollback(True, using=alias)

    return go


def prune() -> None:
    pruning.prune()


def always(work: Callable[[], object]) -> Callable[[str, int], Callable[[], object]]:
    return lambda alias, calls: work


def claiming(alias: str, calls: int) -> Callable[[], object]:
    """Claims one of the tasks submitted for it."""
    needed = calls * ROUNDS + max(5, calls // 10) + 1
    with tables.of(alias), override_settings(ASYNC_EXCHANGE={**conf.raw, "EXECUTOR": "tests.services.Idle"}):
        door, tokens = Door(), itertools.cycle(f"token-{number}" for number in range(1, 101))
        tasks = iter([door.submit(token=next(tokens)) for _ in range(needed)])

    def claim() -> None:
        assert lifecycle.claim(next(tasks)) is not None

    return claim


def within(alias: str, work: Callable[[], object]) -> Callable[[], object]:
    def go() -> None:
        with tables.of(alias):
            work()

    return go
