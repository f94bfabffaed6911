"""MoySklad JSON API 1.2: ``?async=true`` makes a GET asynchronous.

The client polls ``async/{id}``, then follows ``async/{id}/result`` to a signed link that works for five minutes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
import uuid
import zoneinfo
from collections.abc import Mapping

from ...exceptions import (
    AsyncExchangeError,
    CapacityExceeded,
    CompressionRequired,
    LinkInvalid,
    NotEligible,
    PagingRefused,
    ParameterRefused,
    ResultFailed,
    SubmitFailed,
)
from ...protocol.content_encoding import accepts_gzip
from ...protocol.states import State
from ...protocol.values import Call, Context, Event, Listing, Notice, Page, Replay, Response, Snapshot
from ..base import NO_STORE, Dialect, Policy, Route, Trigger, Wire, json_response, retry_after, signed_links
from ..base.query_string import last, without
from . import errors, filters, openapi
from .delivery_rules import MOYSKLAD
from .documents import PAGE_FIELDS, filename, page_document, result_url, task_document, task_url
from .webhooks import WebhookEntity, notification

SPELLINGS = ("true", "false")

PREFIX_HEADER = "X-Lognex-WebHook-DisableByPrefix"
DISABLE_HEADER = "X-Lognex-WebHook-Disable"
HOST = re.compile(r"https?://[^/?#\s]+([/?#]\S*)?", re.IGNORECASE)
"""A URL prefix must have a complete host: ``https://exam`` would match many."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RemapPolicy(Policy):
    """Options of MoySklad and Kladana mounts."""

    capacity: int | None = 4
    retention: dt.timedelta = dt.timedelta(hours=1)
    error_retention: dt.timedelta = dt.timedelta(days=7)
    time_zone: str = "Europe/Moscow"
    language: str = "ru"
    webhooks: int = 15
    delivery: str = "moysklad"
    require_https: bool = False
    require_gzip: bool = False
    """Whether ``Accept-Encoding: gzip`` is mandatory, as on MoySklad's servers."""
    web_app: str = "https://online.moysklad.ru/app"
    """URL of the web application, to which an owner's ``uuidHref`` points."""


class MoySklad(Dialect):
    """Triggered by the query string of a GET; four unfinished tasks per account, results are kept for an hour."""

    CODES = errors.CODES
    ROUTES = {
        "list": Route(method="GET", path="async"),
        "status": Route(method="GET", path="async/{id}"),
        "result": Route(method="GET", path="async/{id}/result"),
        "cancel": Route(method="PUT", path="async/{id}/cancel"),
        "download": Route(method="GET", path="async/{id}/download", public=True),
    }
    SUBSCRIPTIONS = WebhookEntity()
    TRIGGER = Trigger.QUERY
    TRIGGER_NAME = "async"
    METHODS = frozenset({"GET"})
    RETRYABLE = (CapacityExceeded, SubmitFailed)
    ESTIMATED = frozenset({"accepted"})
    DELIVERY_RULES = {"moysklad": MOYSKLAD}
    PAGE_FIELDS = PAGE_FIELDS
    PARAMETERS = openapi.PARAMETERS
    POLICY = RemapPolicy()

    policy: RemapPolicy

    # Submitting ------------------------------------------------------------------------------------------------------

    def wants_async(self, call: Call) -> bool:
        """``async`` with any value but ``false``; ``admit`` then refuses unknown values."""
        return "async" in call.query and asked(call.query) not in (None, "false")

    def target(self, call: Call) -> tuple[str, str]:
        """The query without ``async``, otherwise unchanged."""
        return call.path, without(call.query, "async")

    def admit(self, call: Call) -> None:
        """Refuse unknown values of ``async``, other methods, paging parameters and, if required, a lack of gzip."""
        spelling = asked(call.query)
        if spelling not in SPELLINGS:
            raise ParameterRefused(parameter="async", value=spelling, allowed=", ".join(SPELLINGS))
        if call.method != "GET":
            raise NotEligible()
        if any(last(call.query, name) is not None for name in ("limit", "offset")):
            raise PagingRefused()
        if self.policy.require_gzip and not accepts_gzip(call.header("Accept-Encoding")):
            raise CompressionRequired()

    def muted(self, call: Call) -> tuple[str, ...]:
        """URL prefixes of webhooks that the call disables: those of the header, or all."""
        if call.header(DISABLE_HEADER):
            return ("",)
        prefixes = [prefix.strip() for prefix in call.header(PREFIX_HEADER).split(",")]
        for prefix in filter(None, prefixes):
            if not HOST.fullmatch(prefix):
                raise ParameterRefused(parameter=PREFIX_HEADER, value=prefix, allowed="https://example.com/path")
        return tuple(filter(None, prefixes))

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """``Location`` is the result and ``Content-Location`` the status, as MoySklad's clients expect."""
        headers = (
            ("Location", result_url(task, context.base)),
            ("Content-Location", task_url(task, context.base)),
            ("Content-Length", "0"),
            retry_after(context),
        )
        return Response(status=202, headers=(*headers, *NO_STORE))

    def reads(self, verb: str, state: State) -> bool:
        return state is State.API_ERROR and verb in {"status", "list"}

    def status(self, task: Snapshot, context: Context) -> Response:
        return json_response(self._document(task, context))

    def result(self, task: Snapshot, context: Context) -> Response | Replay:
        """302 to a new signed link for DONE, the view's own error for API_ERROR."""
        self.require_result(task, context.now)
        if task.state is State.API_ERROR:
            return Replay()
        return Response(status=302, headers=(("Location", self._link(task, context)), *NO_STORE))

    def result_error(self, task: Snapshot, now: dt.datetime) -> AsyncExchangeError | None:
        """As by default, but an ERROR never has a result, not even a stored 5xx."""
        return ResultFailed(reason=task.reason) if task.state is State.ERROR else super().result_error(task, now)

    def download(self, task: Snapshot, context: Context, query: Mapping[str, str]) -> Replay:
        """The file; the signature in the query is its authorization. ``filename`` is not signed and not read."""
        expires = signed_links.expiry_of(task, query, context.signer)
        if task.state is not State.DONE:
            raise LinkInvalid()
        self.require_result(task, context.now)
        if context.now.timestamp() >= expires:
            raise LinkInvalid()
        disposition = ("Content-Disposition", f'attachment; filename="{filename(task)}"')
        headers = (disposition, *signed_links.FILE_HEADERS)
        return Replay(status=200, headers=headers, drop=frozenset({"set-cookie", "location"}))

    def listing(self, query: str) -> Listing:
        return filters.parse(query, self._zone)

    def page(self, page: Page, context: Context) -> Response:
        rows = [self._document(task, context) for task in page.rows]
        return json_response(page_document(page, rows, context.base))

    def cancelled(self, task: Snapshot, context: Context) -> Response:
        return Response(status=204, headers=NO_STORE)

    def notification(self, event: Event, url: str, id: uuid.UUID) -> Notice:
        return notification(event, url, id)

    # Errors ----------------------------------------------------------------------------------------------------------

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        """As by default, but 415 has no body, as on MoySklad's servers."""
        if isinstance(error, CompressionRequired):
            return Response(status=self.wire(error).status, headers=(*NO_STORE, *error.headers))
        return super().problem(error, context)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> dict[str, object]:
        """An array of errors with integer codes: MoySklad's clients accept nothing else."""
        item: dict[str, object] = {"error": text, "code": wire.code}
        if "parameter" in error.details:
            item["parameter"] = error.details["parameter"]
        return {"errors": [item]}

    # Parts -----------------------------------------------------------------------------------------------------------

    @property
    def _zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.policy.time_zone)

    def _document(self, task: Snapshot, context: Context) -> dict[str, object]:
        return task_document(task, base=context.base, zone=self._zone, web_app=self.policy.web_app)

    def _link(self, task: Snapshot, context: Context) -> str:
        """A signed URL that expires after ``LINK_LIFETIME``, or at the deletion date if that is earlier."""
        expires = math.ceil((context.now + self.policy.link_lifetime).timestamp())
        if task.deletion_date is not None:
            expires = min(expires, math.floor(task.deletion_date.timestamp()))
        query = signed_links.query_of(task, expires, context.signer)
        return f"{task_url(task, context.base)}/download?{query}&filename={filename(task)}"


def asked(query: str) -> str | None:
    """The last value of ``async`` in lower case, or None where the parameter is absent."""
    spelling = last(query, "async")
    return spelling and spelling.lower()
