"""The task endpoints of all dialects: one DRF view, which ``urls`` binds to the dialect and verbs of each URL.

A task that the caller may not see gets exactly the response of one that does not exist.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.http.response import HttpResponseBase
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request

from .. import exceptions
from ..conf import conf
from ..identity import callers
from ..intake import capture, patience
from ..models import AsyncTask, Body
from ..models.querysets import AsyncTaskQuerySet
from ..protocol import accept
from ..protocol.states import State
from ..protocol.values import Context, Html, Listing, Page, Replay, Response, Snapshot
from ..responses import holds, html, http, render_context
from ..rest.filters import AsyncTaskFilter
from ..store import bodies, transitions
from ..tasks import estimates, lifecycle, presence, retention
from . import authentication, events
from .base import Endpoint, key_of

logger = logging.getLogger("django_asyncexchange")


def _is_same(one: Any, other: Any) -> bool:
    """Compare a column with a value that the project's ``OWNER`` may return in another type."""
    return one is None if other is None else str(one) == str(other)


class TaskView(Endpoint):
    """One endpoint of ``Dialect.ROUTES``."""

    parser_classes = (JSONParser, FormParser, MultiPartParser)  # the CSRF token of a form is in its body

    # Verbs -----------------------------------------------------------------------------------------------------------

    def status(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        answer = self.dialect.status(self.snapshot(task, "status"), self.context(task, "status"))
        if not isinstance(answer, Html):  # a page is shown at once, and reloads itself
            self.hold(task)
        return self.send(answer, task)

    def monitor(self, request: Request, id: str) -> HttpResponseBase:
        task = self.hold(self.find(id))
        return self.send(self.dialect.monitor(self.snapshot(task, "monitor"), self.context(task, "monitor")), task)

    def result(self, request: Request, id: str) -> HttpResponseBase:
        task = self.hold(self.find(id))
        return self.send(self.dialect.result(self.snapshot(task, "result"), self.context(task, "result")), task)

    def events(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        return events.respond(request._request, self.dialect, self.context(task), task)

    def replay(self, request: Request, id: str) -> HttpResponseBase:
        task = self.hold(self.find(id))
        return self.send(self.dialect.replay(self.snapshot(task, "replay"), self.context(task, "replay")), task)

    def download(self, request: Request, id: str) -> HttpResponseBase:
        try:
            task = self.pick(id)
        except exceptions.TaskNotFound:
            raise exceptions.LinkInvalid from None  # no probing for tasks without a signature
        if lifecycle.end_if_overdue(task):
            task = self.pick(id)
        context = render_context.context(request, self.dialect, now=task.now)
        return self.send(self.dialect.download(task.snapshot(), context, request.query_params.dict()), task)

    def cancel(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        try:
            cancelled = lifecycle.cancel(task)
        except exceptions.NotCancellable:
            cancelled = task = self.find(id)
            if not (self.dialect.CANCELS_AGAIN and task.state == State.CANCEL):
                raise
        return self.send(self.dialect.cancelled(cancelled.snapshot(), self.context(task)), cancelled)

    def cancel_form(self, request: Request, id: str) -> HttpResponseBase:
        """Cancel as DELETE does. A browser is sent back to the task's page, also where the task had finished."""
        if not accept.prefers_html(request.META.get("HTTP_ACCEPT", "")):
            return self.cancel(request, id)
        with suppress(exceptions.NotCancellable):
            self.cancel(request, id)
        return html.back_to(f"{self.context().path}/{self.routes['status'].path.format(id=id)}")

    def remove(self, request: Request, id: str) -> HttpResponseBase:
        """Cancel an unfinished task, delete the result of a finished one (idempotent, RFC 9110 section 9.2.2)."""
        task = self.find(id)
        try:
            removed = lifecycle.cancel(task)
        except exceptions.NotCancellable:
            retention.expire(task)
            removed = task = self.find(id)
        return self.send(self.dialect.cancelled(removed.snapshot(), self.context(task)), removed)

    def change(self, request: Request, id: str) -> HttpResponseBase:
        """Set the deletion date of a finished task."""
        task = self.find(id)
        if not retention.keep_until(task, self.dialect.change(task.snapshot(), self.context(task), self.document())):
            raise exceptions.ResultExpired  # meanwhile
        changed = self.find(id)
        return self.send(self.dialect.changed(changed.snapshot(), self.context(changed)), changed)

    def list(self, request: Request) -> HttpResponseBase:
        listing = self.dialect.listing(capture.raw_query(request._request))
        visible = self.visible() if callers.is_known(request) else AsyncTask.objects.none()
        tasks = self.ordered(self.filtered(visible.within(self.dialect.policy.window), listing), listing)
        size = tasks.count()
        rows = tasks[listing.offset : listing.offset + listing.limit] if listing.offset < size else ()
        page = Page(rows=self.snapshots(rows, "list"), size=size, listing=listing)
        return self.send(self.dialect.page(page, self.context()), None)

    # Waiting ---------------------------------------------------------------------------------------------------------

    def hold(self, task: AsyncTask) -> AsyncTask:
        """Have the response wait for the unfinished ``task``, where the client or the address says for how long."""
        bare = self.request._request
        if holds.of(bare) is None and not State(task.state).is_final:
            seconds = min(patience.wanted_wait(bare) or self.address_wait, conf.MAX_WAIT_SECONDS)
            if seconds:
                holds.put(bare, holds.Hold(task.pk, seconds, user=self.user_before))
        return task

    @property
    def address_wait(self) -> float:
        """The seconds in the query of an address to which a redirect has led (``Dialect.redirect``); 0 without."""
        text = self.request.query_params.get("wait", "")
        return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else 0.0

    def kept_wait(self) -> float:
        """The seconds for which the address has held this request; it may lead to itself again."""
        hold = holds.of(self.request._request)
        return self.address_wait if hold is not None and hold.was_kept else 0.0

    # Finding ---------------------------------------------------------------------------------------------------------

    @cached_property
    def task(self) -> AsyncTask | None:  # type: ignore[override]
        with suppress(exceptions.MalformedId):
            return self.look(self.kwargs["id"]) if "id" in self.kwargs else None
        return None

    def scope(self) -> dict[str, Any]:
        """Column → value of the tasks that the caller may see: those of its account, or its own (``PER_OWNER``)."""
        user = callers.user_of(self.request)
        if getattr(user, "is_staff", False) and user.has_perm("asyncexchange.see_all_asynctasks"):
            return {}
        viewer = render_context.viewer(self.request)
        if viewer is None:
            return {"owner_id": None, "auth_backend": ""}
        if not self.dialect.PER_OWNER:
            return {"account": viewer.account}
        if (key := callers.reference_to(user)) is not None:  # users in different databases may have the same key
            return {"account": viewer.account, "owner_id": key}
        own = {"owner_kind": viewer.kind, "owner_reference": viewer.id}
        return {"account": viewer.account, "owner_id": None, **own}

    def visible(self) -> AsyncTaskQuerySet:
        tasks: AsyncTaskQuerySet = AsyncTask.objects.of_mount(self.dialect.name).filter(**self.scope())
        return tasks

    def find(self, id: str) -> AsyncTask:
        """The task ``id``, if the caller may see it. Raises TaskNotFound."""
        scope = self.scope()  # first, so that its time and errors are the same for tasks that do not exist
        task = self.pick(id)
        if not self.is_within(scope, task) and not self.is_submitter(task):
            raise exceptions.TaskNotFound(id=id)
        presence.warn_if_waiting(task)
        return self.pick(id) if lifecycle.end_if_overdue(task) else task

    def is_within(self, scope: Mapping[str, Any], task: AsyncTask) -> bool:
        """Whether ``task`` matches ``scope``. An anonymous task is visible to everybody who knows its id."""
        if conf.ALLOW_ANONYMOUS and task.is_anonymous:
            return True
        return all(_is_same(getattr(task, name), wanted) for name, wanted in scope.items())

    def is_submitter(self, task: AsyncTask) -> bool:
        """Whether the class that authenticated the submit of ``task`` authenticates a caller who may see it."""
        if self.refused is not None:
            raise self.refused
        found = authentication.found_by_submit_class(task, self.request)
        if found is None:
            return False
        self.request.user, self.request.auth = found
        return self.is_within(self.scope(), task)

    def pick(self, id: str) -> AsyncTask:
        """The task ``id``, without a permission check. Raises TaskNotFound."""
        task = self.__dict__.pop("task") if "task" in self.__dict__ else self.look(id)
        if task is None:
            key_of(id)  # raises MalformedId
            raise exceptions.TaskNotFound(id=id)
        return task

    def look(self, id: str) -> AsyncTask | None:
        return transitions.read(key_of(id), self.dialect.name)

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
        """``tasks`` as values, with the stored bodies that the dialect needs to render ``verb``, in one query."""
        tasks = tuple(tasks)
        needy = {task.pk for task in tasks if task.status_code and self.dialect.reads(verb, State(task.state))}
        answers = Body.objects.filter(kind=Body.RESPONSE, task__in=needy) if needy else ()
        found = {(answer.task_id, answer.attempt): answer for answer in answers}
        return tuple(
            task.snapshot(self.content(found.get((task.pk, task.attempt))) if task.pk in needy else None)
            for task in tasks
        )

    def content(self, body: Body | None) -> bytes | None:
        """A stored body; None where it is larger than ``READS_AT_MOST``."""
        if body is not None and body.size > self.dialect.READS_AT_MOST:
            self.dialect.content_too_large()
            return None
        return bodies.read(body)

    # Answering -------------------------------------------------------------------------------------------------------

    def context(self, task: AsyncTask | None = None, verb: str = "") -> Context:
        """The context to render ``verb`` for ``task``, with its estimate where the dialect uses one."""
        now = task.now if task is not None else None
        viewer = render_context.viewer(self.request)
        context = render_context.context(self.request, self.dialect, now=now, viewer=viewer, wait=self.kept_wait())
        if task is None or verb not in self.dialect.ESTIMATED:
            return context
        return dataclasses.replace(context, estimate=estimates.of(task))

    def send(self, answer: Response | Replay | Html, task: AsyncTask | None) -> HttpResponseBase:
        if isinstance(answer, Html):
            return html.respond(answer, self.request._request, self.dialect)
        if isinstance(answer, Response):
            rendered = http.respond(answer)
            hold, wanted = holds.of(self.request._request), patience.wanted_wait(self.request._request)
            if hold is not None and wanted:
                rendered.headers["Preference-Applied"] = f"wait={hold.seconds:g}"
            return http.with_etag(rendered, self.request._request)
        assert task is not None and task.status_code is not None, "only a stored response can be replayed"
        return http.replayed(answer, task, self.request._request)
