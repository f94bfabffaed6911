"""Our middleware, with each 202 replaced by the result."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from django_asyncexchange.conf import urlconf
from django_asyncexchange.middleware import AsyncExchangeMiddleware
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.values import Replay
from django_asyncexchange.responses import http
from django_asyncexchange.worker import handlers, runner

urlconf.require_reachable = lambda dialect: None  # no suite has our URLs, and nobody polls there


class Run:
    """A run with its Python objects."""

    last: Run

    def __init__(self, request: HttpRequest) -> None:
        Run.last = self
        self.request = request
        self.response: Any = None
        self.error: Exception | None = None


def remembering(handler: handlers.Handler, request: HttpRequest) -> Any:
    run = Run(request)
    try:
        run.response = plain(handler, request)
    except Exception as error:
        run.error = error
        raise
    return run.response


async def aremembering(handler: handlers.AsyncHandler, request: Any) -> Any:
    run = Run(request)
    try:
        run.response = await aplain(handler, request)
    except Exception as error:
        run.error = error
        raise
    return run.response


plain, aplain = handlers.Handler.__call__, handlers.AsyncHandler.__call__
handlers.Handler.__call__ = remembering  # type: ignore[method-assign]
handlers.AsyncHandler.__call__ = aremembering  # type: ignore[method-assign]


class Replaying(AsyncExchangeMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        response = super().__call__(request)
        return response if self.is_async else self.replayed(request, response)

    async def __acall__(self, request: HttpRequest) -> Any:
        return await sync_to_async(self.replayed)(request, await super().__acall__(request))

    def replayed(self, request: HttpRequest, response: Any) -> Any:
        intent = request.__dict__.get("_asyncexchange")
        if intent is None or intent.task_id is None:
            return response
        runner.run(str(intent.task_id))  # the suite's transaction is still open, so that nothing has been sent yet
        task = AsyncTask.objects.with_now().get(pk=intent.task_id)
        run = Run.last
        if run.error is not None:  # the suite expects it (DEBUG_PROPAGATE_EXCEPTIONS)
            raise run.error
        if task.status_code is None:
            raise RuntimeError(f"The run has no answer: {task.state} {task.reason}")
        answer = http.replayed(Replay(), task, request, at_own_url=False)
        answer.__dict__["_run"] = run
        return answer
