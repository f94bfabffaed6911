"""A hold: the response to a request waits until a task has finished.

A view puts it on the request, and the middleware waits, because in an event loop only it can do so without a thread.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..models import AsyncTask

KEY = "_asyncexchange_hold"
Answer = Callable[[AsyncTask | None], HttpResponseBase | None]


class Hold:
    """The hold of one request."""

    def __init__(self, task_id: uuid.UUID, seconds: float, answer: Answer | None = None, user: Any = None) -> None:
        self.task_id, self.seconds = task_id, seconds
        self.answer = answer
        """Makes the response from the finished task, or None after ``seconds``; without it the view is called again."""
        self.user = user
        """``request.user`` before the view was called, which is called again: REST framework has replaced it."""
        self.was_kept = False
        """Whether the request was held until the task had finished, or for ``seconds``."""
        self._began = time.monotonic()

    def end(self, task: AsyncTask | None) -> AsyncTask | None:
        """End the hold with the finished ``task``; None after ``seconds``, or where it could not be waited for."""
        self.was_kept = task is not None or time.monotonic() - self._began >= self.seconds
        return task


def put(request: HttpRequest, hold: Hold) -> None:
    request.__dict__[KEY] = hold


def of(request: HttpRequest) -> Hold | None:
    found: Hold | None = request.__dict__.get(KEY)
    return found


def restore_user(request: HttpRequest) -> Any:
    """``request.user`` as the middlewares have set it, also when a view is called again after a hold."""
    if (hold := of(request)) is not None:
        request.__dict__["user"] = hold.user
    return request.__dict__.get("user")
