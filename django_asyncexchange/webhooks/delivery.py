"""Sends what is due: claims rows, sends them side by side, records every try, and decides what comes next.

Rows are the truth and a message is only a hint to look. Whoever looks takes all that is due, a few to each host, so
that a receiver that hangs holds up nobody else. At least once, with the same id and the same bytes.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.db import close_old_connections, router
from django.db.models import F, Q, QuerySet

from .. import executors
from ..conf import conf
from ..dialects.base import DeliveryRules
from ..models import Delivery, Webhook
from ..models.moments import Now
from ..models.querysets import PLACE, DeliveryQuerySet, Place, after
from ..protocol import process_id
from . import attempts, retry_policy
from .transport import Outcome

logger = logging.getLogger("django_asyncexchange")

SIDE_BY_SIDE = 16
"""Deliveries on their way at a time, in one process."""
BUDGET = 20.0
"""For how long one call takes on more, in seconds. Under constant load it would never end: calls would wait for its
worker, a worker that is told to stop would be killed over it, and so would one by its queue (django-q2's ``timeout``).
"""
EXTRA = 20.0
"""For how long it then still sends, in seconds, while it waits for slow hosts: others have to wait for nobody."""
SLOW = 1.0
"""A host that takes longer to answer is slow, in seconds."""
LOOK = 0.05
"""How often a process that waits for receivers looks for more that is due, in seconds."""
COST = 20
"""A look is followed by a pause of so many times its own length, where that is longer."""
MARGIN = 5.0
"""By how many seconds a lease outlasts the longest attempt."""
FORGOTTEN = dt.timedelta(seconds=30)
"""How long after a message about it a delivery that is still due gets another one."""
BATCH = 500

Flying = dict["Future[list[Outcome]]", tuple[Delivery, float]]
"""What is on its way, and since when."""


def run(delivery_id: str) -> None:
    """Send all that is due. This name is stored in queues: never move it. Never raises."""
    try:
        give_up_disabled()
        free_those_of_the_dead()
        if _is_left_to_others():
            return
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="asyncexchange-delivery") as pool:
            _pump(pool, time.monotonic() + BUDGET * random.uniform(0.5, 1))  # not all of them stop at once
        remind()  # of what was left to this one meanwhile
    except Exception:
        logger.exception("deliveries were interrupted; they are tried again")


def _is_left_to_others() -> bool:
    """Where calls share the workers, one of them delivers, and finds the rest: hosts that hang would keep them all."""
    is_shared = conf.QUEUES.get("deliver") == conf.QUEUES.get("run")
    return is_shared and _rows().in_flight().exists()


def _pump(pool: ThreadPoolExecutor, end: float) -> None:
    """Take what is due until ``end``, and see what was taken through. What is left is passed on.

    After ``end`` nothing goes to slow hosts any more, and when those have answered, nothing to others: so nobody has to
    wait for them.
    """
    flying: Flying = {}
    slow: set[Place] = set()
    is_open = True
    while True:
        began = time.monotonic()
        slow |= {row.place for row, since in flying.values() if began - since > SLOW}
        if is_open:
            is_late = began > end
            is_open = not is_late or (began < end + EXTRA and _count(flying, slow) > 0)
            is_open = is_open and _take_off(pool, flying, slow, is_late=is_late)
            if not is_open:
                remind()
        if not flying:
            return
        pause = max(LOOK, COST * (time.monotonic() - began))
        done, _ = wait(flying, timeout=pause if is_open else None, return_when=FIRST_COMPLETED)
        for future in done:
            _land(flying.pop(future)[0], future)


def _count(flying: Flying, places: Collection[Place]) -> int:
    return sum(row.place in places for row, _ in flying.values())


def _take_off(pool: ThreadPoolExecutor, flying: Flying, slow: set[Place], *, is_late: bool) -> bool:
    """Send what is due while there are places, half of them for slow hosts. False = no more can be taken."""
    try:
        for row in claim(SIDE_BY_SIDE - len(flying), slow):
            flying[_launch(pool, row)] = row, time.monotonic()
        if slow and not is_late:
            for row in claim(min(SIDE_BY_SIDE - len(flying), SIDE_BY_SIDE // 2 - _count(flying, slow))):
                flying[_launch(pool, row)] = row, time.monotonic()
    except Exception:
        logger.exception("no more deliveries can be taken; it is tried again")
        close_old_connections()
        return False
    return True


def _launch(pool: ThreadPoolExecutor, row: Delivery) -> Future[list[Outcome]]:
    """Send ``row``. One that cannot be made ready, because the key to its secret is lost, say, has failed this try."""
    try:
        rules = conf.delivery_rules(row.task.dialect)
        return pool.submit(attempts.post, attempts.letter(row, rules), rules)
    except Exception:
        logger.exception("delivery %s could not be made ready", row.pk)
        failed: Future[list[Outcome]] = Future()
        failed.set_result([Outcome(error="internal")])
        return failed


def _land(row: Delivery, future: Future[list[Outcome]]) -> None:
    """Record how it went. Where that fails, the lease ends and the message is sent again."""
    try:
        attempts.settle(row, conf.delivery_rules(row.task.dialect), future.result())
    except Exception:
        logger.exception("delivery %s: how it went could not be recorded", row.pk)
        close_old_connections()


# Taking ---------------------------------------------------------------------------------------------------------------


def claim(count: int, shunned: Collection[Place] = ()) -> Iterator[Delivery]:
    """Take up to ``count`` deliveries that are due, exclusively, not too many to a place and none to ``shunned``."""
    full = set(shunned)
    while count > 0:
        room = {place: conf.WEBHOOK_IN_FLIGHT - busy for place, busy in _busy_hosts().items()}
        full |= {place for place, left in room.items() if left <= 0}
        found = list(due().outside(full).order_by("due", "pk").values_list("pk", *PLACE)[: 4 * count])
        if not found:
            return
        for pk, *where in found:  # each is taken, or taken by somebody else, or its place is full
            place: Place = tuple(where)
            row = _take(pk) if count > 0 and place not in full else None
            if row is None:
                continue
            if not _has_place(row):
                _put_back(row)
                full.add(place)
                continue
            count -= 1
            room[place] = room.get(place, conf.WEBHOOK_IN_FLIGHT) - 1
            if room[place] <= 0:
                full.add(place)
            yield row


def _rows() -> DeliveryQuerySet:
    """Where they are written: a replica may lag behind."""
    return Delivery.objects.using(router.db_for_write(Delivery))


def _busy_hosts() -> dict[Place, int]:
    return _rows().in_flight().by_place()


def _take(pk: uuid.UUID) -> Delivery | None:
    if not due().filter(pk=pk).update(lease_until=after(_lease()), sender=process_id.me()):
        return None
    return _rows().select_related("webhook", "task").defer("task__request").filter(pk=pk).first()


def _has_place(row: Delivery) -> bool:
    """Whether those that were taken meanwhile leave a place for ``row``. Of several, the last one sees the others."""
    return _rows().in_flight().at(row.place).exclude(pk=row.pk).count() < conf.WEBHOOK_IN_FLIGHT


def _put_back(row: Delivery) -> None:
    """Leave it to whoever has taken the others; to the next sweep, if nobody has."""
    _rows().filter(pk=row.pk, lease_until=row.lease_until).update(lease_until=None, sent=None)


def due() -> DeliveryQuerySet:
    """What is to be sent now, and by nobody yet."""
    disabled = Webhook.objects.filter(enabled=False)  # no join: conditions of an UPDATE have to be its own
    return _rows().free().exclude(webhook__in=disabled)


def _lease() -> dt.timedelta:
    """For how long a delivery is a process's own: a little longer than the longest attempt of any mount."""
    known = [conf.delivery_rules(mount.name) for mount in conf.mounts]
    return dt.timedelta(seconds=max(map(retry_policy.longest, [DeliveryRules(), *known])) + MARGIN)


# Looking after what is waiting ----------------------------------------------------------------------------------------


def give_up_disabled() -> None:
    """End what is due for webhooks that were disabled meanwhile."""
    for row in _rows().free().filter(webhook__enabled=False)[:BATCH]:
        attempts.give_up(row)


def free_those_of_the_dead() -> None:
    """Void the leases of processes that are seen to be dead: they keep others from sending, and places at hosts."""
    senders = _rows().in_flight().order_by().values_list("sender", flat=True).distinct()
    dead = [sender for sender in senders if process_id.is_gone(sender)]
    if dead:
        _rows().in_flight().filter(sender__in=dead).update(lease_until=None, sent=None)


def sweep() -> int:
    """Remind the workers of what is due and was forgotten or is due again; returns how many. Any number may run."""
    give_up_disabled()
    free_those_of_the_dead()
    again = Q(sent__lt=F("due")) | Q(sent__lt=F("lease_until"))  # its sender has died over it
    forgotten = due().filter(Q(sent=None) | Q(sent__lt=after(-FORGOTTEN)) | again)
    return remind() and int(forgotten.order_by().update(sent=Now())) if forgotten.exists() else 0


def remind() -> bool:
    """Tell the workers that something is due, if it is. False = it is not, or they cannot be told."""
    try:
        first = due().order_by("due").values_list("pk", flat=True).first()
        if first is not None:
            executors.load().send(str(first), "deliver")
        return first is not None
    except Exception:
        logger.warning("deliveries that are due could not be queued; it is tried again", exc_info=True)
        return False


def resend(rows: QuerySet[Delivery]) -> int:
    """Send those of ``rows`` that are no longer on their way once more, as they were; returns how many.

    What a disabled webhook has missed stays where it is.
    """
    chosen = rows.exclude(state=Delivery.WAITING).exclude(webhook__in=Webhook.objects.filter(enabled=False))
    count = int(chosen.update(state=Delivery.WAITING, tries=0, due=Now(), sent=None, finished=None, lease_until=None))
    if count:
        sweep()
    return count
