"""The task endpoints of every dialect: one DRF view, bound by ``urls`` to the dialect and verbs of one address.

Authentication, permissions and throttling are DRF's and the project's; words and shapes are the dialect's. A task that
the caller may not see is answered exactly like one that does not exist.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import router
from django.db.models import QuerySet
from django.http import QueryDict
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from . import bodies, callers, capture, exceptions, http, lifecycle, rendering
from .endpoints import Endpoint, key_of
from .filters import AsyncTaskFilter
from .messages import Context, Listing, Page, Replay, Response, Snapshot
from .models import AsyncTask, Body
from .moves import slot
from .prepared import PreparedRows
from .querysets import AsyncTaskQuerySet
from .states import State

logger = logging.getLogger("django_asyncexchange")


def _one(narrow: str, *who: str) -> PreparedRows:
    """The task ``id`` of ``dialect``, if it is among those that the queryset's method ``narrow`` leaves."""

    def tasks() -> AsyncTaskQuerySet:
        found = AsyncTask.objects.filter(dialect=slot("dialect"), pk=slot("id")).with_now()
        narrowed: AsyncTaskQuerySet = getattr(found, narrow)(*map(slot, who))
        return narrowed

    return PreparedRows(tasks)


def polls() -> dict[str, PreparedRows]:
    """What every poll asks, by what ``TaskView.scope`` says."""
    return {
        "all": _one("all"),
        "of_nobody": _one("of_nobody"),
        "of_owner_in": _one("of_owner_in", "account", "owner"),
        "of_program": _one("of_program", "account", "owner_kind", "owner_reference"),
        "of_account": _one("of_account", "account"),
    }


POLLS = polls()


class TaskView(Endpoint):
    """One address of tasks, by the routes of ``Dialect.ROUTES``."""

    # Verbs -----------------------------------------------------------------------------------------------------------

    def status(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        return self.send(self.dialect.status(self.snapshot(task, "status"), self.context(task)), task)

    def monitor(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        return self.send(self.dialect.monitor(self.snapshot(task, "monitor"), self.context(task)), task)

    def result(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        return self.send(self.dialect.result(self.snapshot(task, "result"), self.context(task)), task)

    def replay(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        return self.send(self.dialect.replay(self.snapshot(task, "replay"), self.context(task)), task)

    def download(self, request: Request, id: str) -> HttpResponseBase:
        try:
            task = self.pick(id, "all")
        except exceptions.TaskNotFound:
            raise exceptions.LinkInvalid from None  # without a signature nobody learns which tasks exist
        context = rendering.context(request, self.dialect, now=task.now)
        return self.send(self.dialect.download(task.snapshot(), context, request.query_params.dict()), task)

    def cancel(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        try:
            lifecycle.cancel(task)
        except exceptions.NotCancellable:
            task = self.find(id)
            if not (self.dialect.CANCELS_AGAIN and task.state == State.CANCEL):
                raise
        return self.send(self.dialect.cancelled(task.snapshot(), self.context(task)), task)

    def list(self, request: Request) -> HttpResponseBase:
        listing = self.dialect.listing(capture.raw_query(request._request))
        visible = self.visible() if callers.is_known(request) else AsyncTask.objects.none()
        tasks = self.ordered(self.filtered(visible.within(self.dialect.policy.window), listing), listing)
        size = tasks.count()
        rows = tasks[listing.offset : listing.offset + listing.limit] if listing.offset < size else ()
        page = Page(rows=self.snapshots(rows, "list"), size=size, listing=listing)
        return self.send(self.dialect.page(page, self.context()), None)

    # Finding ---------------------------------------------------------------------------------------------------------

    def scope(self) -> tuple[str, dict[str, Any]]:
        """What the caller may see, as the queryset's method and its argument: the tasks of its account, or its own
        where the protocol has no accounts.
        """
        user = callers.user_of(self.request)
        if getattr(user, "is_staff", False) and user.has_perm("asyncexchange.see_all_asynctasks"):
            return "all", {}
        viewer = rendering.viewer(self.request)
        if viewer is None:
            return "of_nobody", {}
        if self.dialect.PER_OWNER and (key := callers.reference_to(user)) is not None:
            return "of_owner_in", {"account": viewer.account, "owner": key}
        if self.dialect.PER_OWNER:
            return "of_program", {"account": viewer.account, "owner_kind": viewer.kind, "owner_reference": viewer.id}
        return "of_account", {"account": viewer.account}

    def visible(self) -> AsyncTaskQuerySet:
        narrow, who = self.scope()
        tasks: AsyncTaskQuerySet = getattr(AsyncTask.objects.speaking(self.dialect.name), narrow)(*who.values())
        return tasks

    def find(self, id: str) -> AsyncTask:
        narrow, who = self.scope()
        return self.pick(id, narrow, **who)

    def pick(self, id: str, narrow: str, **who: Any) -> AsyncTask:
        wanted = {"id": key_of(id), "dialect": self.dialect.name, **who}
        find = partial(POLLS[narrow].first, router.db_for_write(AsyncTask), **wanted)
        task: AsyncTask | None = find()
        if task is not None and lifecycle.drop_if_overdue(task):
            task = find()
        if task is None:
            raise exceptions.TaskNotFound(id=id)
        return task

    def filtered(self, tasks: AsyncTaskQuerySet, listing: Listing) -> QuerySet[AsyncTask]:
        data = QueryDict(mutable=True)
        for name, text in listing.filters:
            data.appendlist(name, text)
        found: Any = AsyncTaskFilter(data, queryset=tasks)
        if not found.is_valid():
            raise exceptions.FilterRefused(errors=found.errors.as_json())
        rows: QuerySet[AsyncTask] = found.qs
        return rows

    def ordered(self, tasks: QuerySet[AsyncTask], listing: Listing) -> QuerySet[AsyncTask]:
        return AsyncTaskFilter.order(tasks, listing.order)

    def snapshot(self, task: AsyncTask, verb: str) -> Snapshot:
        return self.snapshots([task], verb)[0]

    def snapshots(self, tasks: Iterable[AsyncTask], verb: str) -> tuple[Snapshot, ...]:
        """``tasks`` as values, with the stored bodies that the dialect needs to render ``verb``: found in one query."""
        tasks = tuple(tasks)
        needy = {task.pk for task in tasks if task.status_code and self.dialect.reads(verb, State(task.state))}
        answers = Body.objects.filter(kind=Body.RESPONSE, task__in=needy) if needy else ()
        found = {(answer.task_id, answer.attempt): answer for answer in answers}
        return tuple(
            task.snapshot(self.content(found.get((task.pk, task.attempt))) if task.pk in needy else None)
            for task in tasks
        )

    def content(self, body: Body | None) -> bytes | None:
        """All bytes of a stored body; None where the dialect does not read so many."""
        if body is not None and body.size > self.dialect.READS_AT_MOST:
            self.dialect.pass_over()
            return None
        return bodies.read(body)

    # Answering -------------------------------------------------------------------------------------------------------

    def context(self, task: AsyncTask | None = None) -> Context:
        now = task.now if task is not None else None
        return rendering.context(self.request, self.dialect, now=now, viewer=rendering.viewer(self.request))

    def send(self, answer: Response | Replay, task: AsyncTask | None) -> HttpResponseBase:
        if isinstance(answer, Response):
            return http.unless_known(http.respond(answer), self.request._request)
        assert task is not None and task.status_code is not None, "only a stored answer can be replayed"
        return http.replayed(answer, task, self.request._request)
