"""From a captured call to a committed row: capacity, idempotency, and the id handed to the executor."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Iterable
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
"""When to come again after what passes by itself, in seconds."""


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
    """Beginnings of addresses whose webhooks are not to hear of the call."""
    idempotency_key: str = ""


def submit(submission: Submission, chunks: Iterable[bytes]) -> tuple[AsyncTask, bool]:
    """Store the call as PENDING and hand its id to the executor; committed when this returns.

    Returns (task, whether an earlier submit with the same idempotency key made it). Raises RequestTooLarge,
    CapacityExceeded, IdempotencyKeyReused, NoWorker or SubmitFailed; then nothing is stored.
    """
    content = fingerprints.Content(chunks, submission.call) if submission.idempotency_key else None
    draft = _draft(chunks if content is None else content)
    task = _new_task(submission)
    if content is not None:
        key = submission.idempotency_key
        task.idempotency = fingerprints.digest(_who(submission), key)
        task.fingerprint = fingerprints.of(submission.call, content, draft.sha256, task.dialect, *_meant(submission))
    try:
        if (earlier := _earlier(task)) is None:
            _accept(task, draft, submission.dialect)
            return task, False
    except IntegrityError as error:
        # Somebody else with the same key committed first; the unique index made us wait for it.
        if (earlier := _earlier(task)) is None:
            raise _not_accepted(error, draft) from error
    except Exception as error:
        raise _not_accepted(error, draft) from error
    bodies.discard(draft)
    return earlier, True


def _not_accepted(error: Exception, draft: bodies.Draft) -> AsyncExchangeError:
    """What to tell the client about ``error``; the draft is gone."""
    bodies.discard(draft)
    if isinstance(error, AsyncExchangeError):
        return error
    if isinstance(error, IntegrityError | ValueError) or db_retry.is_unfit(
        error
    ):  # it would not be taken next time either
        log_once.once(f"calls are refused that the database does not take: {type(error).__name__}", error)
        return CallNotStorable()
    logger.error("a call could not be accepted", exc_info=error)
    return SubmitFailed(headers=RETRY_AFTER)


def _draft(chunks: Iterable[bytes]) -> bodies.Draft:
    try:
        return bodies.write(chunks, limit=conf.MAX_REQUEST_BYTES, seal=True)
    except bodies.TooLarge as error:
        raise RequestTooLarge(limit=conf.MAX_REQUEST_BYTES) from error
    except (bodies.StorageFailed, DatabaseError) as error:
        logger.exception("a request body could not be stored")
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


def _who(submission: Submission) -> str:
    """Whose idempotency keys these are."""
    caller = submission.identity
    return f"{caller.owner.account} {caller.user_pk} {caller.owner.id}"


def _meant(submission: Submission) -> tuple[str, str]:
    """What middlewares have made of the call: its method; and whose site it was, where there are several."""
    return submission.method, urlsplit(submission.url).netloc


def _earlier(task: AsyncTask) -> AsyncTask | None:
    """The task that the same owner submitted under the same idempotency key. Raises IdempotencyKeyReused."""
    if task.idempotency is None:
        return None
    earlier: AsyncTask | None = AsyncTask.objects.filter(idempotency=task.idempotency).first()
    if earlier is not None and earlier.fingerprint != task.fingerprint:
        raise IdempotencyKeyReused
    return earlier


@db_retry.again_if_deadlocked
def _accept(task: AsyncTask, draft: bodies.Draft, dialect: Dialect) -> None:
    if presence.is_missed():
        logger.error("a call is refused: no worker has been heard of, and REQUIRE_WORKER is on")
        raise NoWorker(headers=RETRY_AFTER)
    policy = dialect.policy
    is_limited = any(limit is not None for limit in (policy.capacity, policy.rate, policy.stored_bytes))
    with transaction.atomic(using=router.db_for_write(AsyncTask)) if is_limited else contextlib.nullcontext():
        if is_limited:
            _require_room(dialect, task.account)
        lifecycle.accept(task, draft, dialect)


def _require_room(dialect: Dialect, account: str) -> None:
    """Raise CapacityExceeded where there are enough unfinished tasks, StorageExceeded where as much is kept as may be,
    Throttled where there were too many calls lately.
    """
    capacity = dialect.policy.capacity
    Account.objects.hold(dialect.name, "" if dialect.policy.shared_capacity else account)
    lifecycle.end_overdue(dialect)
    tasks = AsyncTask.objects
    of_all = dialect.policy.shared_capacity
    waiting = tasks.speaking(dialect.name).unfinished() if of_all else tasks.unfinished_of(dialect.name, account)
    if capacity is not None and waiting.count() >= capacity:
        raise CapacityExceeded(capacity=capacity, headers=RETRY_AFTER)
    room = dialect.policy.stored_bytes
    if room is not None and Body.objects.kept_for(dialect.name, account) >= room:
        raise StorageExceeded(headers=RETRY_AFTER)
    rate = dialect.policy.rate
    lately = AsyncTask.objects.speaking(dialect.name).of_account(account).within(dt.timedelta(minutes=1))
    if rate is not None and lately.count() >= rate:
        raise Throttled(headers=(("Retry-After", "60"),))


def rerun(task: AsyncTask) -> AsyncTask:
    """Start the same captured call again, as the same owner, as a new task."""
    dialect = conf.mounted(task.dialect)
    if dialect is None:
        raise SubmitFailed
    if not task.request:
        raise RequestErased
    submission = Submission(
        call=task.captured,
        method=task.method,
        url=task.url,
        base=task.base,
        dialect=dialect,
        identity=snapshot.of(task, task.captured),
        retention=task.retention,
        is_repeatable=task.is_repeatable,
    )
    again, _ = submit(submission, bodies.stream(bodies.request_of(task.pk)))
    return again
