"""Submit: capacity, idempotency, and a committed task that workers are told of."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from django.db import DatabaseError, IntegrityError, router, transaction

from .. import encryption
from ..conf import conf
from ..dialects.base import Dialect
from ..exceptions import (
    AsyncExchangeError,
    CallNotStorable,
    CapacityExceeded,
    IdempotencyKeyReused,
    NoWorker,
    RequestErased,
    RequestTooLarge,
    StorageExceeded,
    SubmitFailed,
    Throttled,
)
from ..identity import snapshot
from ..identity.snapshot import Identity
from ..models import Account, AsyncTask, Body, encode
from ..protocol import log_once
from ..protocol.values import Callback, Headers, Request, value
from ..redaction import masked_url
from ..store import bodies, db_retry
from . import fingerprints, lifecycle, presence

logger = logging.getLogger("django_asyncexchange")

RETRY_AFTER: Headers = (("Retry-After", "5"),)
"""``Retry-After`` of transient errors, in seconds."""


@value
class Submission:
    """A captured call with everything that is stored about it."""

    call: Request
    method: str
    """As submitted, like ``url``."""
    url: str
    dialect: Dialect
    identity: Identity
    base: str
    """Absolute URL of the dialect's mount."""
    retention: dt.timedelta | None = None
    is_repeatable: bool = False
    callback: Callback | None = None
    muted: tuple[str, ...] = ()
    """URL prefixes of webhooks that get no events of the call."""
    idempotency_key: str = ""


def submit(submission: Submission, chunks: Iterable[bytes]) -> tuple[AsyncTask, bool]:
    """Store the call as PENDING, and dispatch it if its account may; committed when this returns.

    Returns (task, whether it existed already under the same idempotency key). Raises RequestTooLarge, CapacityExceeded,
    IdempotencyKeyReused, NoWorker or SubmitFailed; then nothing is stored.
    """
    content = fingerprints.Content(chunks, submission.call) if submission.idempotency_key else None
    draft = _draft(chunks if content is None else content)
    task = _new_task(submission)
    if content is not None:
        key = submission.idempotency_key
        task.idempotency = fingerprints.digest(_idempotency_scope(submission), key)
        task.fingerprint = fingerprints.of(
            submission.call, content, draft.sha256, task.dialect, *_effective_target(submission)
        )
    try:
        if (earlier := _earlier(task)) is None:
            _accept(task, draft, submission.dialect)
            return task, False
    except IntegrityError as error:
        # A concurrent submit with the same key committed first; the unique index made us wait for it.
        if (earlier := _earlier(task)) is None:
            raise _submit_error(error, draft) from error
    except Exception as error:
        raise _submit_error(error, draft) from error
    bodies.discard(draft)
    return earlier, True


def _submit_error(error: Exception, draft: bodies.Draft) -> AsyncExchangeError:
    """Discard the draft; return the error to send to the client."""
    bodies.discard(draft)
    if isinstance(error, AsyncExchangeError):
        return error
    if isinstance(error, IntegrityError | ValueError) or db_retry.is_unstorable(error):  # a retry would fail too
        log_once.once(f"call refused, the database cannot store it: {type(error).__name__}", error)
        return CallNotStorable()
    logger.error("call could not be accepted", exc_info=error)
    return SubmitFailed(headers=RETRY_AFTER)


def _draft(chunks: Iterable[bytes]) -> bodies.Draft:
    try:
        return bodies.write(chunks, limit=conf.MAX_REQUEST_BYTES, seal=True)
    except bodies.TooLarge as error:
        raise RequestTooLarge(limit=conf.MAX_REQUEST_BYTES) from error
    except (bodies.StorageFailed, DatabaseError) as error:
        logger.exception("request body could not be stored")
        raise SubmitFailed(headers=RETRY_AFTER) from error


def _new_task(submission: Submission) -> AsyncTask:
    caller, callback = submission.identity, submission.callback
    return AsyncTask(
        dialect=submission.dialect.name,
        owner_id=caller.user_pk,
        account=caller.owner.account,
        owner_kind=caller.owner.kind,
        owner_reference=caller.owner.id,
        auth_backend=caller.auth_backend,
        auth_reference=caller.auth_reference,
        authentication_class=caller.authentication_class,
        method=submission.method,
        url=masked_url(submission.url),
        base=submission.base,
        retention=submission.retention,
        is_repeatable=submission.is_repeatable,
        request=encode(submission.call),
        callback_url=encryption.seal_secret(callback.url) if callback else "",
        callback_method=callback.method if callback else "",
        muted=list(submission.muted),
    )


def _idempotency_scope(submission: Submission) -> str:
    """The scope of idempotency keys: the caller."""
    caller = submission.identity
    return f"{caller.owner.account} {caller.user_pk} {caller.owner.id}"


def _effective_target(submission: Submission) -> tuple[str, str]:
    """The method, which middleware may have changed, and the host, because there may be several sites."""
    return submission.method, urlsplit(submission.url).netloc


def _earlier(task: AsyncTask) -> AsyncTask | None:
    """The task that the same caller submitted with the same idempotency key. Raises IdempotencyKeyReused."""
    if task.idempotency is None:
        return None
    earlier: AsyncTask | None = AsyncTask.objects.filter(idempotency=task.idempotency).first()
    if earlier is not None and earlier.fingerprint != task.fingerprint:
        raise IdempotencyKeyReused
    return earlier


@db_retry.retry_deadlocks
def _accept(task: AsyncTask, draft: bodies.Draft, dialect: Dialect) -> None:
    if presence.is_missing():
        logger.error("call refused: no worker has sent a heartbeat, and REQUIRE_WORKER is on")
        raise NoWorker(headers=RETRY_AFTER)
    policy = dialect.policy
    is_limited = any(limit is not None for limit in (policy.capacity, policy.rate, policy.stored_bytes))
    with transaction.atomic(using=router.db_for_write(AsyncTask)) if is_limited else contextlib.nullcontext():
        if is_limited:
            _check_limits(dialect, task.account)
        lifecycle.accept(task, draft, dialect)


def _check_limits(dialect: Dialect, account: str) -> None:
    """Lock the account; raise CapacityExceeded for too many unfinished tasks, StorageExceeded for too many stored
    bytes, Throttled for too many calls in the last minute.
    """
    capacity = dialect.policy.capacity
    Account.objects.lock(dialect.name, "" if dialect.policy.shared_capacity else account)
    lifecycle.end_overdue(dialect)
    tasks = AsyncTask.objects
    is_shared = dialect.policy.shared_capacity
    unfinished = tasks.of_mount(dialect.name).unfinished() if is_shared else tasks.unfinished_of(dialect.name, account)
    if capacity is not None and unfinished.count() >= capacity:
        raise CapacityExceeded(capacity=capacity, headers=RETRY_AFTER)
    stored_bytes = dialect.policy.stored_bytes
    if stored_bytes is not None and Body.objects.total_size(dialect.name, account) >= stored_bytes:
        raise StorageExceeded(headers=RETRY_AFTER)
    rate = dialect.policy.rate
    recent = AsyncTask.objects.of_mount(dialect.name).of_account(account).within(dt.timedelta(minutes=1))
    if rate is not None and recent.count() >= rate:
        raise Throttled(headers=(("Retry-After", "60"),))


def rerun(task: AsyncTask) -> AsyncTask:
    """Submit the same captured call again, as the same owner, as a new task."""
    dialect = conf.mounted(task.dialect)
    if dialect is None:
        raise SubmitFailed
    if not task.request:
        raise RequestErased
    call = replace(task.captured, patience=0.0, messages="")  # no connection is held for it
    submission = Submission(
        call=call,
        method=task.method,
        url=task.url,
        base=task.base,
        dialect=dialect,
        identity=snapshot.of(task, call),
        retention=task.retention,
        is_repeatable=task.is_repeatable,
    )
    again, _ = submit(submission, bodies.stream(bodies.request_body(task.pk)))
    return again
