"""What estimates are made of: recent runs, and how many tasks the workers will claim before another one.

No query reads more than ``MOST`` entries of an index, whatever the size of the table.
"""

from __future__ import annotations

from django.db.models.functions import Left

from ..models import AsyncTask
from ..protocol.states import State
from ..protocol.values import value
from ..sql.queries import CountUpTo, PreparedQuery, PreparedRows
from .statements import slot

MOST = 1000
"""Tasks are counted up to this number."""
SAMPLE = 200
"""Number of runs that are read."""
URL_LENGTH = 500
"""Characters of a URL that are read: it may be long, and only its path is needed."""


@value
class Run:
    """A recent run."""

    dialect: str
    method: str
    url: str
    """At most ``URL_LENGTH`` characters of it."""
    seconds: float


@value
class Recent:
    """Recent runs, and the queue when they were read."""

    runs: tuple[Run, ...] = ()
    ready: int = 0
    """Number of dispatched tasks that no worker had claimed, ``MOST`` at most."""
    running: int = 0
    """Number of tasks that ran, ``MOST`` at most."""


READY = PreparedQuery(lambda: AsyncTask.objects.ready(), order=("sent",))
READY_BEFORE = PreparedQuery(lambda: AsyncTask.objects.ready().filter(sent__lt=slot("sent")), order=("sent",))
"""Tasks that were dispatched before ``sent``, and are claimed before others."""
RUNNING = PreparedQuery(lambda: AsyncTask.objects.filter(state=State.PROCESSING), order=("sent",))
WAITING_BEFORE = PreparedQuery(
    lambda: AsyncTask.objects.waiting_of(slot("dialect"), slot("account")).filter(created__lt=slot("created")),
    order=("finished", "sent", "created"),
)
"""Tasks of an account that are dispatched before the one that was ``created`` then."""


def _count(query: PreparedQuery) -> CountUpTo:
    return CountUpTo(query, "most")


AHEAD_OF_DISPATCHED = PreparedRows(
    lambda: AsyncTask.objects.filter(pk=slot("id")).only("pk").annotate(ready=_count(READY_BEFORE)),
    into=lambda task, ready: ready,
)
AHEAD_OF_WAITING = PreparedRows(
    lambda: (
        AsyncTask.objects.filter(pk=slot("id")).only("pk").annotate(ready=_count(READY), waiting=_count(WAITING_BEFORE))
    ),
    into=lambda task, ready, waiting: ready + waiting,
)
NEWEST = PreparedRows(
    # A range, ordered by both columns of asyncexchange_waiting: by ``created`` alone PostgreSQL reads the index of that
    # column, and with it every newer task that still waits. MariaDB would sort a BETWEEN.
    lambda: (
        AsyncTask.objects.filter(state__gte=State.DONE, state__lte=State.DONE)
        .order_by("-state", "-created")
        .only("dialect", "method", "started", "finished")
        .annotate(start_of_url=Left("url", URL_LENGTH), ready=_count(READY), running=_count(RUNNING))[:SAMPLE]
    ),
    into=lambda task, **found: (task, found),
)


def recent() -> Recent:
    """Read the newest tasks that have succeeded, and the length of the queue, in one query."""
    rows = NEWEST.all(most=MOST)
    if not rows:
        return Recent()
    runs = tuple(
        Run(
            dialect=task.dialect,
            method=task.method,
            url=found["start_of_url"],
            seconds=(task.finished - task.started).total_seconds(),
        )
        for task, found in rows
        if task.started and task.finished
    )
    return Recent(runs=runs, ready=rows[0][1]["ready"], running=rows[0][1]["running"])


def ahead_of(task: AsyncTask) -> int | None:
    """Count the tasks that workers will claim before the PENDING ``task``, in one query: ``MOST`` at most.

    A task that its account's share holds back comes after the account's older ones, and after what is ready now. None
    if the task is gone.
    """
    if task.sent is not None:
        ahead = AHEAD_OF_DISPATCHED.first(id=task.pk, sent=task.sent, most=MOST)
    else:
        values = {"dialect": task.dialect, "account": task.account, "created": task.created}
        ahead = AHEAD_OF_WAITING.first(id=task.pk, most=MOST, **values)
    return None if ahead is None else min(ahead, MOST)
