"""The task endpoints of every dialect: one DRF view, bound by ``urls`` to the dialect and verbs of one address.

Authentication, permissions and throttling are DRF's and the project's; words and shapes are the dialect's. A task that
the caller may not see is answered exactly like one that does not exist.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from django.core.signals import got_request_exception
from django.db.models import QuerySet
from django.http import Http404, QueryDict
from django.http.response import HttpResponseBase
from rest_framework import exceptions as drf
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from . import bodies, capture, exceptions, http, lifecycle, rendering
from .conf import conf
from .dialects.base import Dialect
from .filters import AsyncTaskFilter
from .messages import Context, Listing, Page, Replay, Response, Snapshot
from .models import AsyncTask, Body
from .querysets import AsyncTaskQuerySet
from .states import State

logger = logging.getLogger("django_asyncexchange")

REFUSALS: Mapping[type[Exception], type[exceptions.AsyncExchangeError]] = {
    drf.NotAuthenticated: exceptions.NotAuthenticated,
    drf.AuthenticationFailed: exceptions.NotAuthenticated,
    drf.PermissionDenied: exceptions.PermissionDenied,
    drf.MethodNotAllowed: exceptions.MethodNotAllowed,
    drf.NotAcceptable: exceptions.NotAcceptable,
    drf.Throttled: exceptions.Throttled,
    drf.ParseError: exceptions.RequestMalformed,
    Http404: exceptions.RouteNotFound,
}
"""What the framework raises → what a dialect words."""


def key_of(id: str) -> uuid.UUID:
    """The primary key named by ``id``. One spelling only: ``uuid.UUID`` itself takes hyphens anywhere."""
    with suppress(ValueError):
        key = uuid.UUID(id)
        if str(key) == id.lower():
            return key
    raise exceptions.MalformedId(id=id)


class AnyMediaType(BaseContentNegotiation):
    """The dialect decides what is sent; no ``Accept`` header is refused."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class TaskView(APIView):
    """One address of one dialect. ``verbs`` gives, by HTTP method, the name of the route in ``Dialect.ROUTES``."""

    content_negotiation_class = AnyMediaType
    dialect: Dialect = None  # type: ignore[assignment]  # given by as_view
    verbs: Mapping[str, str] = MappingProxyType({})

    async_exchange = False  # polling later would never end
    http_method_names = [name for name in APIView.http_method_names if name != "options"]
    """DRF's own answer to OPTIONS is in no dialect's words, and would be 200 at addresses that do not exist."""

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        for method, name in self.verbs.items():
            setattr(self, method.lower(), getattr(self, self.dialect.ROUTES[name].verb or name))
        if "GET" in self.verbs:
            self.head = self.get  # type: ignore[attr-defined]  # just set

    @property
    def is_public(self) -> bool:
        """Whether the address itself proves the right to it. An empty address, which serves nothing, does not."""
        return bool(self.verbs) and all(self.dialect.ROUTES[name].public for name in self.verbs.values())

    def get_authenticators(self) -> Any:
        # A client may send its credentials along to the file's address, valid there or not: they are not looked at.
        return [] if self.is_public else super().get_authenticators()

    def get_permissions(self) -> Any:
        if self.is_public or conf.ALLOW_ANONYMOUS:
            return [AllowAny()]
        return [IsAuthenticated(), *super().get_permissions()]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None of DRF's own: a replayed answer carries exactly the stored headers."""
        return {}

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
            task = self.pick(AsyncTask.objects.all(), id)
        except exceptions.TaskNotFound:
            raise exceptions.LinkInvalid from None  # without a signature nobody learns which tasks exist
        context = rendering.context(request, self.dialect, now=task.now)
        return self.send(self.dialect.download(task.snapshot(), context, request.query_params.dict()), task)

    def cancel(self, request: Request, id: str) -> HttpResponseBase:
        task = self.find(id)
        lifecycle.cancel(task)
        return self.send(self.dialect.cancelled(task.snapshot(), self.context(task)), task)

    def list(self, request: Request) -> HttpResponseBase:
        listing = self.dialect.listing(capture.raw_query(request._request))
        visible = self.visible() if request.user.is_authenticated else AsyncTask.objects.none()
        tasks = self.ordered(self.filtered(visible.within(self.dialect.policy.window), listing), listing)
        size = tasks.count()
        rows = tasks[listing.offset : listing.offset + listing.limit] if listing.offset < size else ()
        page = Page(rows=self.snapshots(rows, "list"), size=size, listing=listing)
        return self.send(self.dialect.page(page, self.context()), None)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.verbs:
            raise exceptions.RouteNotFound
        return super().http_method_not_allowed(request, *args, **kwargs)

    # Finding ---------------------------------------------------------------------------------------------------------

    def visible(self) -> AsyncTaskQuerySet:
        """The tasks that the caller may see: those of its account, or its own where the protocol has no accounts."""
        tasks = AsyncTask.objects.speaking(self.dialect.name)
        user: Any = self.request.user
        if user.is_staff and user.has_perm("asyncexchange.see_all_asynctasks"):
            return tasks
        viewer = rendering.viewer(self.request)
        if viewer is None:
            return tasks.of_nobody()
        if self.dialect.PER_OWNER:
            return tasks.of_owner(self.request.user.pk)
        return tasks.of_account(viewer.account)

    def find(self, id: str) -> AsyncTask:
        return self.pick(self.visible(), id)

    def pick(self, tasks: AsyncTaskQuerySet, id: str) -> AsyncTask:
        key = key_of(id)
        task: AsyncTask | None = tasks.speaking(self.dialect.name).filter(pk=key).with_now().first()
        if task is not None and lifecycle.drop_if_overdue(task):
            task = tasks.filter(pk=key).with_now().first()
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
            task.snapshot(bodies.read(found.get((task.pk, task.attempt))) if task.pk in needy else None)
            for task in tasks
        )

    # Answering -------------------------------------------------------------------------------------------------------

    def context(self, task: AsyncTask | None = None) -> Context:
        now = task.now if task is not None else None
        return rendering.context(self.request, self.dialect, now=now, viewer=rendering.viewer(self.request))

    def send(self, answer: Response | Replay, task: AsyncTask | None) -> HttpResponseBase:
        if isinstance(answer, Response):
            return http.respond(answer)
        assert task is not None and task.status_code is not None, "only a stored answer can be replayed"
        return http.replayed(answer, task, self.request._request)

    def handle_exception(self, exc: Exception) -> Any:
        return http.respond(rendering.problem(self.request, self.dialect, self.refusal(exc)))

    def refusal(self, exc: Exception) -> exceptions.AsyncExchangeError:
        """``exc`` as one of ours; an unexpected one is reported as Django reports it, and answered with a 500."""
        if isinstance(exc, exceptions.AsyncExchangeError):
            return exc
        cls = next((ours for theirs, ours in REFUSALS.items() if isinstance(exc, theirs)), None)
        if cls is None:
            logger.error("a task endpoint failed", exc_info=exc)
            got_request_exception.send(sender=type(self), request=self.request)
            return exceptions.InternalError()
        headers = []
        if cls is exceptions.NotAuthenticated and (challenge := self.get_authenticate_header(self.request)):
            headers.append(("WWW-Authenticate", challenge))
        if cls is exceptions.MethodNotAllowed:
            headers.append(("Allow", ", ".join(sorted(self.verbs))))
        if cls is exceptions.Throttled and getattr(exc, "wait", None):
            headers.append(("Retry-After", str(max(1, int(exc.wait)))))  # type: ignore[attr-defined]
        return cls(headers=tuple(headers))
