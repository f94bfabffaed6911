"""The values that the layers exchange: frozen, keyword-only, without behaviour that needs a database or a clock.

Headers are a tuple of pairs and bodies are bytes, so that order, duplicates and binary content survive.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

from .signer import Signer
from .states import Reason, State

Headers = tuple[tuple[str, str], ...]

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen dataclass with keyword-only arguments."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def header(headers: Headers, name: str) -> str | None:
    """The first value of the header ``name`` (case-insensitive), or None."""
    return next((text for key, text in headers if key.lower() == name.lower()), None)


@value
class Call:
    """An incoming call, as far as a dialect needs it to decide: without its body."""

    method: str
    path: str
    """Path below the script name, percent-decoded, with a leading slash."""
    query: str
    """Raw query string, without the question mark."""
    header: Callable[[str], str]
    """Value of a request header by name, ``""`` where it is absent."""


@value
class Owner:
    """Who submitted a task, and with whom its tasks are listed."""

    account: str
    """Tasks of one account are listed together."""
    kind: str = "employee"
    """``employee`` for a person, ``application`` for a program."""
    id: str = ""
    """Id of the person or program within ``kind``; ``""`` for an anonymous caller."""


@value
class Callback:
    """The URL and method that are called when one call's task is finished."""

    url: str
    method: str = "GET"


@value
class Event:
    """Something that happened to a task, which webhooks and callbacks are notified of."""

    action: str
    """CREATE, UPDATE or PROCESSED."""
    task: Snapshot
    base: str
    """Absolute URL of the dialect's mount."""
    fields: tuple[str, ...] = ()
    """Names of the changed fields, where the subscription requests them."""


@value
class Notice:
    """A message to a receiver, as it is sent on every attempt."""

    method: str
    url: str
    content_type: str = ""
    body: str = ""


@value
class Subscription:
    """A webhook as a dialect sees it."""

    id: uuid.UUID
    owner: Owner
    action: str
    url: str
    with_fields: bool = False
    """Whether an UPDATE names the fields that have changed."""
    enabled: bool = True
    disabled_reason: str = ""
    created: dt.datetime
    delivered: int = 0
    """Messages that were delivered."""
    failed: int = 0
    """Messages whose last attempt failed."""
    last_success: dt.datetime | None = None
    failing_since: dt.datetime | None = None
    """When the first message failed since the last one that was delivered."""
    secret: str = ""
    """The key of its signatures; set only when it was just created."""


@value
class Request:
    """A captured call as it arrived, before any middleware: everything that a worker needs to run it."""

    method: str
    scheme: str
    """As the server set it; what a proxy set is in the headers."""
    host: str
    """The header ``Host``, ``""`` where there was none."""
    script_name: str
    path: str
    query: str
    """Raw query string for the view."""
    headers: Headers
    """In WSGI's spelling of names (``Content-Type``, ``X-Custom``), without credentials and hop-by-hop headers."""
    remote_addr: str = ""
    environ: tuple[tuple[str, str | int], ...] = ()
    """What else the server set, by the names of ``META``: ``SERVER_NAME``, ``REMOTE_PORT`` and so on."""
    scope: dict[str, Any] | None = None
    """The rest of the ASGI scope; None = the call arrived by WSGI, and runs by WSGI."""
    language: str = ""
    time_zone: str = ""
    """A name or an offset, see ``protocol.time_zones``."""
    is_checked: bool = False
    """Whether the call passed Django's CSRF check, or would have passed it."""
    caller: str = ""
    """The name of a caller that is not in the user table, or the key of one whose row is in another database."""
    stamp: str = ""
    """Keyed digest, by which the run verifies that the owner is still the submitter."""
    session_stamp: str = ""
    """Keyed digest, by which the run notices that the owner's sessions were ended."""
    authenticator: str = ""
    """The authenticator of the operation (Django Ninja) that accepted the call."""
    is_holder: bool = False
    """Whether the caller has an API key and ``request.user`` was anonymous."""
    auth: str = ""
    """``request.auth`` as JSON, where it can be JSON."""
    device: str = ""
    """The device that verified the user (django-otp)."""
    csrf_secret: str = ""
    """The secret of the caller's CSRF tokens, so that a form that the run renders can be submitted."""
    patience: float = 0.0
    """Seconds for which the caller's connection is held; 0 = nobody waits for the cookies of the response."""
    messages: str = ""
    """The cookie of ``django.contrib.messages``, where the connection is held."""


@value
class Response:
    """A response that is sent as it is."""

    status: int
    headers: Headers = ()
    body: bytes = b""


@value
class Html:
    """A page for people: a template, which projects may override, and its context."""

    template: str
    """Its name below ``templates/``."""
    context: Mapping[str, object]


@value
class Replay:
    """The stored response itself: its status, headers and body; ``headers`` are added or replace stored ones.

    ``status`` replaces the stored status, ``drop`` names stored headers (in lower case) that are not sent.
    """

    status: int | None = None
    headers: Headers = ()
    defaults: Headers = (("Cache-Control", "private, no-cache"),)
    """Headers for stored responses that have none of that name. By default only the client's own cache may keep the
    response, and has to revalidate it each time.
    """
    drop: frozenset[str] = frozenset()
    vary: tuple[str, ...] = ()
    """Request headers that this response depends on, besides those in the stored ``Vary``."""


@value
class Progress:
    """The progress of a run, in bytes or rows."""

    done: int
    total: int | None = None
    message: str = ""


@value
class Snapshot:
    """One task at one moment, as dialects get it. Dates are aware (UTC)."""

    id: uuid.UUID
    dialect: str
    state: State
    reason: Reason | None = None
    owner: Owner
    method: str
    url: str
    """Absolute URL as submitted, including the trigger."""
    attempt: int = 0
    created: dt.datetime
    started: dt.datetime | None = None
    finished: dt.datetime | None = None
    deletion_date: dt.datetime | None = None
    """When the result is deleted."""
    status_code: int | None = None
    """Status of the stored response; None where there is none."""
    content_type: str = ""
    """Content type of the stored response."""
    progress: Progress | None = None
    callback: Callback | None = None
    """The callback that the call requested."""
    content: bytes | None = None
    """Body of the stored response, only where ``Dialect.reads`` requests it and ``READS_AT_MOST`` allows it."""

    @property
    def has_response(self) -> bool:
        """Whether the task is finished and the view's response was stored, whatever its status."""
        return self.state.is_final and self.status_code is not None

    def is_expired(self, now: dt.datetime) -> bool:
        """Whether the result is past its deletion date. Computed, never stored."""
        return self.deletion_date is not None and now >= self.deletion_date


@value
class Listing:
    """A parsed list request: parameters of ``rest.filters.AsyncTaskFilter``, order and page."""

    filters: tuple[tuple[str, str], ...] = ()
    """(name, value) pairs; a name may repeat."""
    order: tuple[str, ...] = ()
    """Field names, each with an optional leading ``-``."""
    limit: int
    offset: int = 0
    echo: str = ""
    """The request's query in its canonical form, for documents with their own URL."""


@value
class Page:
    """One page of a list: its rows, and ``size``, the number of rows on all pages."""

    rows: tuple[Snapshot, ...]
    size: int
    listing: Listing


@value
class Estimate:
    """When an unfinished task will presumably end; by default, nothing is known."""

    eta: dt.datetime | None = None
    """The presumable end, aware (UTC)."""
    queue_position: int | None = None
    """How many tasks the workers will have claimed when they have claimed this one: the next one is at 1."""
    retry_after: int = 1
    """Seconds until a client should look again."""


@value
class Context:
    """What rendering needs besides the task: URLs, time, viewer, language."""

    base: str
    """Absolute URL of the dialect's mount, without a trailing slash."""
    path: str
    """The same without scheme and host."""
    now: dt.datetime
    """Database time, aware."""
    viewer: Owner | None
    """Who sent the request; None for anonymous callers and before authentication."""
    accept: str = ""
    """The request's ``Accept`` header."""
    has_events: bool = False
    """Whether the server that received the request streams events."""
    wait: float = 0.0
    """Seconds for which the address of the status holds each request of this client, and then leads to itself."""
    translate: Callable[[str], str]
    """Message in English → message in the client's language."""
    signer: Signer
    estimate: Estimate = Estimate()
    """Of the task, where it is unfinished and ``Dialect.ESTIMATED`` names the method that renders it."""
