"""``AsyncTask``: one asynchronous call, its state and its result.

The model has columns and conversions to values. Only ``AsyncTaskQuerySet.transition`` changes a state.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from .. import encryption
from ..conf import conf
from ..exceptions import RequestErased, RequestLocked
from ..protocol.states import Reason, State
from ..protocol.values import Callback, Owner, Progress, Request, Snapshot, header
from .bodies import Body
from .managers import PrimaryDatabaseManager, PrimaryDatabaseModel
from .querysets import AsyncTaskQuerySet
from .timestamps import UTCDateTimeField

SEALED = "sealed"
"""Key of the encrypted request in ``AsyncTask.request``. Older rows have the fields of ``Request`` instead."""
STATES = [(state.value, state.value) for state in State]
REASONS = [(reason.value, reason.value) for reason in Reason]


class AsyncTask(PrimaryDatabaseModel):
    """One asynchronous call."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dialect = models.CharField(_("dialect"), max_length=64)
    state = models.CharField(_("state"), max_length=16, choices=STATES, default=State.PENDING.value)
    reason = models.CharField(_("reason"), max_length=16, choices=REASONS, blank=True)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)

    owner = models.ForeignKey(
        conf.project("AUTH_USER_MODEL"), models.SET_NULL, null=True, related_name="+", verbose_name=_("owner")
    )
    account = models.CharField(_("account"), max_length=150)
    owner_kind = models.CharField(_("kind of owner"), max_length=32)
    owner_reference = models.CharField(_("owner's reference"), max_length=150, blank=True)
    auth_backend = models.CharField(max_length=255, blank=True, editable=False)
    auth_reference = models.TextField(blank=True, editable=False)
    authentication_class = models.CharField(max_length=255, blank=True, default="", db_default="", editable=False)
    """Dotted path of the REST framework class that authenticated the call; it also authenticates the task's polls."""

    method = models.CharField(_("method"), max_length=32)
    url = models.TextField(_("request"))
    base = models.TextField(blank=True, editable=False)
    """Absolute URL of the mount as the client reached it: a worker has no request to derive it from."""
    request = models.JSONField(_("captured request"))
    retention = models.DurationField(_("retention"), null=True)
    """How long the result of a successful call is kept; NULL = as the dialect's policy says."""
    is_repeatable = models.BooleanField(_("repeatable"), default=False)
    """Whether the call may run again if the outcome of a run is unknown."""

    status_code = models.PositiveSmallIntegerField(_("status code"), null=True)
    reason_phrase = models.CharField(max_length=255, blank=True, editable=False)
    response_headers = models.JSONField(_("response headers"), default=list)
    response_cookies = models.TextField(blank=True, default="", db_default="", editable=False)
    """Encrypted cookies of the response, for the connection that waits for it. It empties the column."""

    callback_url = models.TextField(_("callback"), blank=True)
    """Encrypted, like the request."""
    callback_method = models.CharField(max_length=8, blank=True, editable=False)
    muted = models.JSONField(default=list, editable=False)
    """URL prefixes of webhooks that get no events of this task."""
    idempotency = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001  (NULLs differ)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)

    progress_done = models.PositiveBigIntegerField(_("done so far"), null=True)
    progress_total = models.PositiveBigIntegerField(_("to be done"), null=True)
    progress_message = models.CharField(_("progress"), max_length=255, blank=True)

    worker = models.CharField(_("worker"), max_length=255, blank=True)
    """The process that runs the current attempt: host, boot, process id and start time."""
    lease_until = UTCDateTimeField(_("leased until"), null=True)
    """The run counts as lost after this time; its worker renews the lease."""
    not_before = UTCDateTimeField(null=True, editable=False)
    """Earliest time of the next attempt."""

    created = UTCDateTimeField(_("created"), db_default=Now())
    sent = UTCDateTimeField(_("sent to the workers"), null=True)
    started = UTCDateTimeField(_("started"), null=True)
    finished = UTCDateTimeField(_("finished"), null=True)
    deletion_date = UTCDateTimeField(_("deletion date"), null=True)
    purge_date = UTCDateTimeField(_("purge date"), null=True)

    objects = PrimaryDatabaseManager.from_queryset(AsyncTaskQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("asynchronous task")
        verbose_name_plural = _("asynchronous tasks")
        permissions: ClassVar[Any] = [
            ("see_all_asynctasks", _("Can see the tasks of all accounts through the task addresses")),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["dialect", "account", "-created"], name="asyncexchange_listed"),
            models.Index(fields=["dialect", "account", "finished", "sent", "created"], name="asyncexchange_turns"),
            models.Index(fields=["state", "created"], name="asyncexchange_waiting"),
            models.Index(fields=["state", "sent"], name="asyncexchange_ready"),
            models.Index(fields=["created"], name="asyncexchange_newest"),
            models.Index(fields=["deletion_date"], name="asyncexchange_expiring"),
            models.Index(fields=["purge_date"], name="asyncexchange_purged"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Not unique=True, for which PostgreSQL would create a second index, for LIKE.
            models.UniqueConstraint(fields=["idempotency"], name="asyncexchange_once"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.url} ({self.state})"

    @property
    def is_anonymous(self) -> bool:
        """Whether the call was anonymous. That of a deleted user was not."""
        return self.owner_id is None and not self.auth_backend

    @cached_property
    def now(self) -> dt.datetime:
        """The database's time at which this row was read with ``with_now()``; otherwise it is queried."""
        moment: dt.datetime = type(self).objects.with_now().values_list("now", flat=True).get(pk=self.pk)
        return moment

    @property
    def captured(self) -> Request:
        """The captured request; unknown fields of other versions are ignored. Raises RequestErased or RequestLocked."""
        stored = self.request
        if SEALED in stored:
            try:
                stored = json.loads(encryption.unseal(stored[SEALED].encode()))
            except encryption.InvalidToken as error:
                raise RequestLocked from error
        if not stored:
            raise RequestErased
        known = {key: stored[key] for key in Request.__dataclass_fields__ if key in stored}
        pairs = {name: tuple((key, text) for key, text in known.get(name, ())) for name in ("headers", "environ")}
        return Request(**{**known, **pairs})

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers of the stored response, in order, duplicates kept."""
        return tuple((name, text) for name, text in self.response_headers)

    def response_body(self) -> Body | None:
        """The response body; None if it is empty, deleted or of an abandoned attempt."""
        return self.bodies.filter(kind=Body.RESPONSE, attempt=self.attempt).first()

    def snapshot(self, content: bytes | None = None) -> Snapshot:
        """This task as the value that dialects take."""
        return Snapshot(
            id=self.pk,
            dialect=self.dialect,
            state=State(self.state),
            reason=Reason(self.reason) if self.reason else None,
            owner=self.caller,
            method=self.method,
            url=self.url,
            attempt=self.attempt,
            created=self.created,
            started=self.started,
            finished=self.finished,
            deletion_date=self.deletion_date,
            status_code=self.status_code,
            content_type=header(self.headers, "Content-Type") or "",
            content=content,
            progress=self.progress,
            callback=self.callback,
        )

    @property
    def caller(self) -> Owner:
        """Who submitted the call."""
        return Owner(account=self.account, kind=self.owner_kind, id=self.owner_reference)

    @property
    def callback(self) -> Callback | None:
        """The callback of the call; None if there is none, or its encryption key is gone."""
        if not self.callback_url:
            return None
        url = encryption.unseal_address(self.callback_url)
        return Callback(url=url, method=self.callback_method) if url else None

    @property
    def progress(self) -> Progress | None:
        """The reported progress, or None."""
        if self.progress_done is None:
            return None
        return Progress(done=self.progress_done, total=self.progress_total, message=self.progress_message)


def encode(request: Request) -> dict[str, Any]:
    """Encrypt ``request`` for ``AsyncTask.request``."""
    fields = json.dumps({name: getattr(request, name) for name in Request.__dataclass_fields__})
    return {SEALED: encryption.seal(fields.encode()).decode()}
