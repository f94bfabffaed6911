"""``request.async_task``: the run of an accepted call, as the code of the project sees it.

>>> class Request(HttpRequest):
...     async_task: RunContext | None
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import field
from typing import Any, Protocol

from .protocol.states import State
from .protocol.values import Callback, Owner, Progress, value


class Interrupted(SystemExit):
    """Raised in a view whose run is cancelled or has reached its ``RUN_LIMIT``.

    A SystemExit, so that no ``except Exception`` of the view catches it.
    """


class Run(Protocol):
    """What the worker provides."""

    @property
    def is_cancelled(self) -> bool: ...

    @property
    def progress(self) -> Progress | None: ...

    def report(self, done: int, total: int | None, message: str) -> None: ...


@value
class RunContext:
    """The run of a view: ``request.async_task``, which is None in other requests.

    The values are those of the task when the run began; ``progress`` and ``is_cancelled`` are current. May be used from
    any thread.
    """

    id: uuid.UUID
    """Primary key of the ``AsyncTask``. The same for all attempts."""
    attempt: int
    """1 for the first run of the task."""
    state: State
    """``PROCESSING``."""
    owner: Owner
    """Who submitted the call: ``account``, ``kind`` and ``id``."""
    dialect: str
    """Name of the mount, a key of ``DIALECTS``."""
    method: str
    """HTTP method of the call."""
    url: str
    """Absolute URL as submitted, including what requested an asynchronous answer."""
    created: dt.datetime
    """When the call was accepted, by the database's clock, in UTC."""
    started: dt.datetime | None
    """When this run began, by the database's clock, in UTC."""
    callback: Callback | None
    """Where the end of this call is reported, if the client has requested that."""
    _run: Run = field(repr=False, compare=False)

    @property
    def is_cancelled(self) -> bool:
        """Whether the result is not wanted any more: cancelled, past its ``RUN_LIMIT``, or taken over by a worker."""
        return self._run.is_cancelled

    @property
    def progress(self) -> Progress | None:
        """The last report, or the bytes or rows of the response that were produced so far; None before the first."""
        return self._run.progress

    def report(self, done: int, total: int | None = None, message: str = "") -> None:
        """Report progress: ``done`` of ``total`` rows, bytes or steps; None where the total is not known.

        Cheap: written to the database once a second at most. Never raises: what no column can hold is left out, and
        ``message`` is cut to 255 characters.
        """
        self._run.report(done, total, message)


def run_of(request: Any) -> RunContext | None:
    """``request.async_task`` of a request of Django or DRF; None also where the middleware has not set it."""
    run: RunContext | None = getattr(request, "async_task", None)
    return run
