"""Admin of tasks."""

from __future__ import annotations

import re
import uuid
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..exceptions import RequestErased
from ..models import AsyncTask, Body
from ..models.querysets import AsyncTaskQuerySet
from ..protocol.states import State
from ..protocol.values import Headers, Request
from ..redaction import masked_url
from . import actions
from .actions import cancel, prune, rerun
from .buttons import ActionButtonsMixin
from .content import body_view, mask_secrets, table
from .listing import CappedPaginator, DialectFilter, MethodFilter, TaskChangeList, shortened

ID_PREFIX = re.compile(r"[0-9a-f]{4,32}")
HYPHENS = (8, 12, 16, 20)
"""Number of hex digits before each hyphen of a UUID."""
PLAIN_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
FIELDS = (
    (_("Task"), ("id", "state", "reason", "dialect", "method", "url")),
    (_("Owner"), ("owner", "account", "owner_kind", "owner_reference")),
    (_("Request"), ("request_headers", "request_body")),
    (_("Response"), ("status", "response_header_table", "response_content")),
    (_("Failure"), ("failure",)),
    (_("Progress"), ("progress_done", "progress_total", "progress_message")),
    (_("Times"), ("created", "started", "finished", "duration", "deletion_date", "purge_date")),
    (_("Internals"), ("attempt", "is_repeatable", "worker", "lease_until", "auth_backend", "captured_call")),
)


def _captured(task: AsyncTask) -> Request | str:
    """The captured request of ``task``, or why it cannot be shown."""
    try:
        return task.captured
    except RequestErased as error:
        return gettext(str(error))


def _lines(*texts: object) -> str:
    return format_html_join("", "<div>{}</div>", ((text,) for text in texts if text))


@admin.register(AsyncTask)
class AsyncTaskAdmin(ActionButtonsMixin):
    # No date_hierarchy: it would truncate the date of every row to find the years.
    list_display = ("short_id", "outcome", "dialect", "call", "who", "created", "duration")
    list_filter = ("state", DialectFilter, MethodFilter, "created")
    list_select_related = ("owner",)
    ordering = ("-created",)
    sortable_by = ("created",)  # the only column with an index over the whole table
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_help_text = _("Search by id or its beginning, part of the URL, account or username of the owner")
    fieldsets = tuple((title, {"fields": fields}) for title, fields in FIELDS)
    readonly_fields = tuple(name for _title, fields in FIELDS for name in fields)
    actions = (cancel, rerun, prune)
    buttons = {"cancel": _("Cancel"), "rerun": _("Rerun"), "prune": _("Delete with request and response")}  # noqa: RUF012

    def button_disabled_reason(self, name: str, obj: AsyncTask) -> str | None:
        if State(obj.state).is_final == (name == "cancel"):
            return None
        return actions.rerun_refusal(obj) if name == "rerun" else ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AsyncTask | None = None) -> bool:
        """Required for the actions. A single task is read-only."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: AsyncTask | None = None) -> bool:
        """Always False: Django's own deletion would leave files of bodies behind. Use the prune action."""
        return False

    def has_prune_permission(self, request: HttpRequest) -> bool:
        """Permission for the prune action: Django's delete permission."""
        return super().has_delete_permission(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TaskChangeList]:
        return TaskChangeList

    def get_queryset(self, request: HttpRequest) -> AsyncTaskQuerySet:
        return AsyncTask.objects.with_now()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AsyncTask | None:
        """Mask secrets before the page, its title and its history show the task."""
        task = super().get_object(request, object_id, from_field)
        return task and mask_secrets(task)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return "url", "account", f"owner__{get_user_model().USERNAME_FIELD}"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AsyncTask], search_term: str
    ) -> tuple[QuerySet[AsyncTask], bool]:
        found, duplicates = super().get_search_results(request, queryset, search_term)
        digits = search_term.strip().lower().replace("-", "")
        if ID_PREFIX.fullmatch(digits):  # as text: MariaDB orders UUIDs differently, so a range would not work
            written = str(uuid.UUID(digits.ljust(32, "0")))
            found |= queryset.filter(pk__startswith=written[: len(digits) + sum(len(digits) > at for at in HYPHENS)])
        return found, duplicates

    @admin.display(description=_("id"))
    def short_id(self, task: AsyncTask) -> str:
        return str(task.pk)[:8]

    @admin.display(description=_("request"))
    def call(self, task: AsyncTask) -> str:
        return format_html("<span>{}</span> <span>{}</span>", task.method, task.url)

    @admin.display(description=_("account"))
    def who(self, task: AsyncTask) -> str:
        """The account and, if there is one, the user."""
        return _lines(task.account, shortened(task.owner) if task.owner else "")

    @admin.display(description=_("state"))
    def outcome(self, task: AsyncTask) -> str:
        """The state and the response status, or the reason of an ERROR."""
        return _lines(task.state, task.status_code or task.reason)

    @admin.display(description=_("duration"))
    def duration(self, task: AsyncTask) -> str | None:
        if task.started is None or task.finished is None:
            return None
        return f"{(task.finished - task.started).total_seconds():.3f} s"

    @admin.display(description=_("status"))
    def status(self, task: AsyncTask) -> str:
        return f"{task.status_code} {task.reason_phrase}" if task.status_code else gettext("No response.")

    @admin.display(description=_("headers"))
    def request_headers(self, task: AsyncTask) -> str:
        call = _captured(task)
        return call if isinstance(call, str) else table(call.headers)

    @admin.display(description=_("body"))
    def request_body(self, task: AsyncTask) -> str:
        body = task.bodies.filter(kind=Body.REQUEST).first()
        call = _captured(task)
        return call if isinstance(call, str) else self._body(task, body, call.headers)

    @admin.display(description=_("headers"))
    def response_header_table(self, task: AsyncTask) -> str:
        return table(task.headers)

    @admin.display(description=_("body"))
    def response_content(self, task: AsyncTask) -> str:
        return self._body(task, task.response_body(), task.headers)

    @admin.display(description=_("exception"))
    def failure(self, task: AsyncTask) -> str:
        """The traceback, which is stored for tasks in ERROR."""
        if task.state != State.ERROR:
            return ""
        if task.snapshot().is_expired(task.now):
            return gettext("Past its deletion date.")
        body = task.bodies.filter(kind=Body.FAILURE, attempt=task.attempt).first()
        return body_view(body, PLAIN_TEXT) if body else gettext("No traceback was recorded; see the log.")

    @admin.display(description=_("captured request"))
    def captured_call(self, task: AsyncTask) -> str:
        call = _captured(task)
        if isinstance(call, str):
            return call
        host = f"{call.scheme}://{call.host}"
        query = masked_url(f"?{call.query}").removeprefix("?")
        rest = (("remote_addr", call.remote_addr), ("language", call.language), ("time_zone", call.time_zone))
        return table((("host", host), ("script_name", call.script_name), ("path", call.path), ("query", query), *rest))

    def _body(self, task: AsyncTask, body: Body | None, headers: Headers) -> str:
        if task.snapshot().is_expired(task.now):
            return gettext("Past its deletion date.")
        return body_view(body, headers) if body else gettext("No body.")
