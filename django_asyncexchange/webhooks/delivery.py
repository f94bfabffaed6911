"""Webhook delivery: claim the deliveries that are due, send them concurrently, record every attempt, schedule retries.

The rows are the source of truth; a queue message only says that something is due. Whichever process gets the message
sends everything that is due, a few deliveries at a time to each destination, so that a receiver that hangs does not
delay the others. Delivery is at least once, always with the same id and the same bytes.
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
from ..models.querysets import DESTINATION_FIELDS, DeliveryQuerySet, Destination, after
from ..models.timestamps import Now
from ..protocol import process_id
from . import attempts, retry_policy
from .transport import Outcome

logger = logging.getLogger("django_asyncexchange")

MAX_CONCURRENT = 16
"""Deliveries that one process sends at the same time."""
CLAIM_SECONDS = 20.0
"""How long one call of ``run`` claims deliveries. Without a limit, a constant load would keep its worker busy forever:
calls would wait, and the worker would be killed at shutdown or by its queue's time limit (django-q2's ``timeout``).
"""
DRAIN_SECONDS = 20.0
"""How long it then goes on claiming deliveries for fast hosts, while it waits for slow ones to answer."""
SLOW_SECONDS = 1.0
"""A host is slow when it takes longer than this to answer."""
POLL_SECONDS = 0.05
"""How often a process that waits for receivers looks for more deliveries that are due."""
POLL_BACKOFF = 20
"""The pause between two looks is at least this many times as long as the look itself."""
LEASE_MARGIN = 5.0
"""How many seconds a lease is longer than the longest attempt."""
REQUEUE_AFTER = dt.timedelta(seconds=30)
"""A delivery that is still due gets another queue message after this long."""
BATCH = 500

InFlight = dict["Future[list[Outcome]]", tuple[Delivery, float]]
"""The deliveries that are being sent, and when each was started (``time.monotonic``)."""


def run(delivery_id: str) -> None:
    """Send every delivery that is due. Never raises. Queues store this function's name: never move it."""
    try:
        give_up_disabled()
        release_leases_of_dead_senders()
        if _is_delivered_elsewhere():
            return
        with ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="asyncexchange-delivery") as pool:
            _send_due(pool, time.monotonic() + CLAIM_SECONDS * random.uniform(0.5, 1))  # not all stop at once
        enqueue()  # other processes left their messages to this one meanwhile
    except Exception:
        logger.exception("webhook delivery was interrupted; it is retried")


def _is_delivered_elsewhere() -> bool:
    """Whether another process is sending already: where calls use the same workers, one of them delivers at a time."""
    is_shared = conf.QUEUES.get("deliver") == conf.QUEUES.get("run")
    return is_shared and _rows().in_flight().exists()


def _send_due(pool: ThreadPoolExecutor, end: float) -> None:
    """Claim deliveries until ``end``, wait for those that were started, and queue a message for the rest.

    After ``end`` nothing more is sent to slow hosts. Other hosts are served until the slow ones have answered, so that
    no delivery waits for a slow host.
    """
    in_flight: InFlight = {}
    slow: set[Destination] = set()
    is_open = True
    while True:
        began = time.monotonic()
        slow |= {row.destination for row, since in in_flight.values() if began - since > SLOW_SECONDS}
        if is_open:
            is_late = began > end
            is_open = not is_late or (began < end + DRAIN_SECONDS and _count(in_flight, slow) > 0)
            is_open = is_open and _start(pool, in_flight, slow, is_late=is_late)
            if not is_open:
                enqueue()
        if not in_flight:
            return
        pause = max(POLL_SECONDS, POLL_BACKOFF * (time.monotonic() - began))
        done, _ = wait(in_flight, timeout=pause if is_open else None, return_when=FIRST_COMPLETED)
        for future in done:
            _record(in_flight.pop(future)[0], future)


def _count(in_flight: InFlight, destinations: Collection[Destination]) -> int:
    return sum(row.destination in destinations for row, _ in in_flight.values())


def _start(pool: ThreadPoolExecutor, in_flight: InFlight, slow: set[Destination], *, is_late: bool) -> bool:
    """Start due deliveries in the free threads, at most half of all to slow hosts. False = claiming failed."""
    try:
        for row in claim(MAX_CONCURRENT - len(in_flight), slow):
            in_flight[_submit(pool, row)] = row, time.monotonic()
        if slow and not is_late:
            for row in claim(min(MAX_CONCURRENT - len(in_flight), MAX_CONCURRENT // 2 - _count(in_flight, slow))):
                in_flight[_submit(pool, row)] = row, time.monotonic()
    except Exception:
        logger.exception("webhook deliveries could not be claimed; it is retried")
        close_old_connections()
        return False
    return True


def _submit(pool: ThreadPoolExecutor, row: Delivery) -> Future[list[Outcome]]:
    """Send ``row`` in ``pool``. If its request cannot be built (a lost encryption key, say), the attempt has failed."""
    try:
        rules = conf.delivery_rules(row.task.dialect)
        return pool.submit(attempts.send_with_resends, attempts.build_request(row, rules), rules)
    except Exception:
        logger.exception("delivery %s failed: its request could not be built", row.pk)
        failed: Future[list[Outcome]] = Future()
        failed.set_result([Outcome(error="internal")])
        return failed


def _record(row: Delivery, future: Future[list[Outcome]]) -> None:
    """Record the attempt. If that fails, the lease expires and the webhook is sent again."""
    try:
        attempts.record(row, conf.delivery_rules(row.task.dialect), future.result())
    except Exception:
        logger.exception("delivery %s was sent, but the attempt could not be recorded; it is sent again", row.pk)
        close_old_connections()


# Claiming -------------------------------------------------------------------------------------------------------------


def claim(count: int, excluded: Collection[Destination] = ()) -> Iterator[Delivery]:
    """Claim up to ``count`` deliveries that are due, within ``WEBHOOK_IN_FLIGHT`` of each destination.

    A claim is exclusive: no other process sends the delivery until the lease ends. None goes to ``excluded``.
    """
    full = set(excluded)
    while count > 0:
        free = {at: conf.WEBHOOK_IN_FLIGHT - sending for at, sending in _in_flight_counts().items()}
        full |= {destination for destination, left in free.items() if left <= 0}
        found = list(due().excluding(full).order_by("due", "pk").values_list("pk", *DESTINATION_FIELDS)[: 4 * count])
        if not found:
            return
        for pk, *fields in found:  # each is claimed here, claimed by another process, or its destination is full
            destination: Destination = tuple(fields)
            row = _claim_one(pk) if count > 0 and destination not in full else None
            if row is None:
                continue
            if not _is_within_limit(row):
                _unclaim(row)
                full.add(destination)
                continue
            count -= 1
            free[destination] = free.get(destination, conf.WEBHOOK_IN_FLIGHT) - 1
            if free[destination] <= 0:
                full.add(destination)
            yield row


def _rows() -> DeliveryQuerySet:
    """Deliveries, read from the primary database: a replica may lag behind."""
    return Delivery.objects.using(router.db_for_write(Delivery))


def _in_flight_counts() -> dict[Destination, int]:
    return _rows().in_flight().count_by_destination()


def _claim_one(pk: uuid.UUID) -> Delivery | None:
    if not due().filter(pk=pk).update(lease_until=after(_lease()), sender=process_id.me()):
        return None
    return _rows().select_related("webhook", "task").defer("task__request").filter(pk=pk).first()


def _is_within_limit(row: Delivery) -> bool:
    """Whether the limit still holds after concurrent claims: the last process to claim sees all the others."""
    return _rows().in_flight().to(row.destination).exclude(pk=row.pk).count() < conf.WEBHOOK_IN_FLIGHT


def _unclaim(row: Delivery) -> None:
    """End the lease. Whichever process fills the destination sends ``row`` later, or the next sweep queues it."""
    _rows().filter(pk=row.pk, lease_until=row.lease_until).update(lease_until=None, sent=None)


def due() -> DeliveryQuerySet:
    """Deliveries that can be claimed now, without those of disabled webhooks."""
    disabled = Webhook.objects.filter(enabled=False)  # a subquery, because an UPDATE cannot join
    return _rows().claimable().exclude(webhook__in=disabled)


def _lease() -> dt.timedelta:
    """How long a process owns the delivery that it sends: a little longer than the longest attempt of any mount."""
    known = [conf.delivery_rules(mount.name) for mount in conf.mounts]
    return dt.timedelta(seconds=max(map(retry_policy.longest, [DeliveryRules(), *known])) + LEASE_MARGIN)


# Sweeping -------------------------------------------------------------------------------------------------------------


def give_up_disabled() -> None:
    """Fail the deliveries that are due to webhooks that have been disabled since."""
    for row in _rows().claimable().filter(webhook__enabled=False)[:BATCH]:
        attempts.give_up(row)


def release_leases_of_dead_senders() -> None:
    """End the leases of processes that have died: they would block their deliveries and count as in flight."""
    senders = _rows().in_flight().order_by().values_list("sender", flat=True).distinct()
    dead = [sender for sender in senders if process_id.is_gone(sender)]
    if dead:
        _rows().in_flight().filter(sender__in=dead).update(lease_until=None, sent=None)


def sweep() -> int:
    """Queue a message if deliveries are due that have none, or whose message was lost; return their number.

    Any number of processes may sweep at the same time.
    """
    give_up_disabled()
    release_leases_of_dead_senders()
    again = Q(sent__lt=F("due")) | Q(sent__lt=F("lease_until"))  # a retry, or the sender has died
    unqueued = due().filter(Q(sent=None) | Q(sent__lt=after(-REQUEUE_AFTER)) | again)
    return enqueue() and int(unqueued.order_by().update(sent=Now())) if unqueued.exists() else 0


def enqueue() -> bool:
    """Queue a delivery message if something is due. False = nothing is due, or the queue is unavailable."""
    try:
        first = due().order_by("due").values_list("pk", flat=True).first()
        if first is not None:
            executors.load().send(str(first), "deliver")
        return first is not None
    except Exception:
        logger.warning("webhook deliveries could not be queued; it is retried", exc_info=True)
        return False


def resend(rows: QuerySet[Delivery]) -> int:
    """Send the finished deliveries among ``rows`` again, unchanged; return their number.

    Deliveries to a disabled webhook are skipped.
    """
    chosen = rows.exclude(state=Delivery.WAITING).exclude(webhook__in=Webhook.objects.filter(enabled=False))
    count = int(chosen.update(state=Delivery.WAITING, tries=0, due=Now(), sent=None, finished=None, lease_until=None))
    if count:
        sweep()
    return count
