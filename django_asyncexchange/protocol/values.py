"""The values that travel through the house: frozen, keyword-only, without behaviour that needs a database or a clock.

Headers are a tuple of pairs and bodies are bytes, so that order, duplicates and binary content survive.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

from .signer import Signer
from .states import Reason, State

Headers = tuple[tuple[str, str], ...]

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make ``cls`` a value: a frozen dataclass without positional arguments."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def header(headers: Headers, name: str) -> str | None:
    """The first value of the header ``name`` (case-insensitive), or None."""
    return next((text for key, text in headers if key.lower() == name.lower()), None)


@value
class Call:
    """An incoming call as far as a dialect needs it to decide: nothing here costs a query or reads the body."""

    method: str
    path: str
    """Path below the script name, percent-decoded, with its leading slash."""
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
    """``employee`` for a person, ``application`` for a program (S002-37)."""
    id: str = ""
    """Reference of the person or program within ``kind``; ``""`` for an anonymous caller."""


@value
class Callback:
    """Where one call wants its end to be reported."""

    url: str
    method: str = "GET"


@value
class Event:
    """Something that happened to a task, to be told to those who asked for it."""

    action: str
    """CREATE, UPDATE or PROCESSED."""
    task: Snapshot
    base: str
    """Absolute URL of the dialect's mount."""
    fields: tuple[str, ...] = ()
    """Names of what changed, where the subscription wants them."""


@value
class Notice:
    """A message to a receiver, as it is sent on every try."""

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
    """Messages that have arrived."""
    failed: int = 0
    """Messages that were given up."""
    last_success: dt.datetime | None = None
    failing_since: dt.datetime | None = None
    """When the first message was given up after the last one that arrived."""
    secret: str = ""
    """What its messages are signed with: only in the answer that makes it known."""


@value
class Request:
    """A captured call as it came, before any middleware: everything a worker needs to perform it."""

    method: str
    scheme: str
    """As the server said; what a proxy said is in the headers."""
    host: str
    """The header ``Host``, ``""`` where there was none."""
    script_name: str
    path: str
    query: str
    """Raw query string that the view will see."""
    headers: Headers
    """In WSGI's spelling of names (``Content-Type``, ``X-Custom``), without credentials and hop-by-hop headers."""
    remote_addr: str = ""
    environ: tuple[tuple[str, str | int], ...] = ()
    """What else the server said, by the names of ``META``: ``SERVER_NAME``, ``REMOTE_PORT`` and so on."""
    scope: dict[str, Any] | None = None
    """What ASGI's scope said besides; None = the call came by WSGI, and runs so."""
    language: str = ""
    time_zone: str = ""
    """See ``time_zones``."""
    is_checked: bool = False
    """Whether the call passed, or would have passed, Django's check for forgery (CSRF)."""
    caller: str = ""
    """The name of a caller who is no row of the user model, or the key of one whose row is in another database."""
    stamp: str = ""
    """Keyed: shows at the run whether its owner is still who submitted."""
    session_stamp: str = ""
    """Keyed: shows at the run whether the owner's sessions have been ended."""
    authenticator: str = ""
    """Which authenticator of its operation (Django Ninja) has accepted the call."""
    is_holder: bool = False
    """Whether the caller holds a key, and ``request.user`` was nobody."""
    auth: str = ""
    """``request.auth`` as JSON, where it was a plain value."""
    device: str = ""
    """The device by which the user was verified (django-otp)."""


@value
class Response:
    """An answer to be sent as it stands."""

    status: int
    headers: Headers = ()
    body: bytes = b""


@value
class Replay:
    """An answer that is the stored response itself: status, headers and body, with these headers added or replaced.

    ``status`` replaces the stored status, ``drop`` names stored headers that are not sent.
    """

    status: int | None = None
    headers: Headers = ()
    defaults: Headers = (("Cache-Control", "private, no-cache"),)
    """Headers added where the stored answer has none of that name: its reader's cache may keep it, and asks each time
    whether it is still there."""
    drop: frozenset[str] = frozenset()
    vary: tuple[str, ...] = ()
    """Request headers that this answer depends on, besides those that the stored ``Vary`` names."""


@value
class Progress:
    """How far a run has come, in bytes or rows."""

    done: int
    total: int | None = None
    message: str = ""


@value
class Snapshot:
    """One task at one moment, as a dialect sees it. Dates are aware (UTC)."""

    id: uuid.UUID
    dialect: str
    state: State
    reason: Reason | None = None
    owner: Owner
    method: str
    url: str
    """Absolute URL as submitted, the trigger included."""
    attempt: int = 0
    created: dt.datetime
    started: dt.datetime | None = None
    finished: dt.datetime | None = None
    deletion_date: dt.datetime | None = None
    """The moment after which the result is gone."""
    status_code: int | None = None
    """Status of the stored response; None where there is none."""
    content_type: str = ""
    """Content type of the stored response."""
    progress: Progress | None = None
    callback: Callback | None = None
    """Where the call wants its end to be reported."""
    content: bytes | None = None
    """Body of the stored response, only where ``Dialect.reads`` asked for it, and it is no larger than allowed."""

    @property
    def has_response(self) -> bool:
        """Whether the task is finished and the view's response was stored, whatever its status."""
        return self.state.is_final and self.status_code is not None

    def is_expired(self, now: dt.datetime) -> bool:
        """Whether the result is past its deletion date. Computed, never stored."""
        return self.deletion_date is not None and now >= self.deletion_date


@value
class Listing:
    """What a list request asks for: parameters of ``filters.AsyncTaskFilter``, order and page."""

    filters: tuple[tuple[str, str], ...] = ()
    """(name, value) pairs; a name may repeat."""
    order: tuple[str, ...] = ()
    """Field names, each with an optional leading ``-``."""
    limit: int
    offset: int = 0
    echo: str = ""
    """The request's query in its canonical form, for documents that name their own address."""


@value
class Page:
    """A slice of a list: its rows, and ``size``, the number of rows on all pages."""

    rows: tuple[Snapshot, ...]
    size: int
    listing: Listing


@value
class Context:
    """What rendering needs besides the task: where, when, for whom, in which language."""

    base: str
    """Absolute URL of the dialect's mount, without a trailing slash."""
    path: str
    """The same without scheme and host."""
    now: dt.datetime
    """Database time, aware."""
    viewer: Owner | None
    """Who asks; None before authentication."""
    accept: str = ""
    """The request's ``Accept`` header."""
    translate: Callable[[str], str]
    """Message in English → message in the reader's language."""
    signer: Signer
