"""From a view's answer to what is stored, and from what is stored or rendered to an answer: byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import ResponseHeaders

from . import bodies, headers
from .conf import conf
from .messages import Headers, Replay, Response
from .models import AsyncTask

# Response → value -----------------------------------------------------------------------------------------------------


def stored_headers(response: Any) -> Headers:
    """Every header of ``response`` that may be stored, in order, duplicates kept. Cookies are not in ``items()``."""
    return tuple((name, text) for name, text in response.items() if headers.may_be_stored(name))


def chunks_of(response: Any) -> Iterable[bytes]:
    """The response's body, as it is produced."""
    if not response.streaming:
        return [response.content]
    chunks: Iterable[bytes] = iter(response)  # also turns an asynchronous iterator into an ordinary one
    return chunks


# Value → response -----------------------------------------------------------------------------------------------------


class FaithfulHeaders:
    """A response with exactly the given headers: in this order, duplicates kept, none of Django's own."""

    headers: Any
    _given: Headers = ()

    def put_headers(self, headers: Headers) -> None:
        del self.headers["Content-Type"]
        # Django checks and encodes the first header of a name; the others must not smuggle anything in either.
        self._given = tuple(pair for name, text in headers for pair in ResponseHeaders({name: text}).items())
        for name, text in headers:
            self.headers.setdefault(name, text)

    def items(self) -> Iterable[tuple[str, str]]:
        """As given, the first of each name as middlewares have left it; then what they have added."""
        current = {name.lower(): (name, text) for name, text in self.headers.items()}
        kept = [pair for pair in self._given if pair[0] in self.headers]
        return [*(current.pop(name.lower(), (name, text)) for name, text in kept), *current.values()]


class FaithfulResponse(FaithfulHeaders, HttpResponse):
    """A whole answer."""


class FaithfulStream(FaithfulHeaders, StreamingHttpResponse):
    """An answer of any size."""


def respond(response: Response) -> HttpResponse:
    """Send a dialect's answer as it stands."""
    answer = FaithfulResponse(response.body, status=response.status)
    answer.put_headers(response.headers)
    return answer


def replayed(replay: Replay, task: AsyncTask, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Send the stored answer of ``task``, changed as ``replay`` says. Small ones whole, others as a stream."""
    body = task.response_body()
    size, chunks = body.size if body else 0, bodies.stream(body)
    status = replay.status or task.status_code or 500
    answer: FaithfulResponse | FaithfulStream
    if size <= conf.INLINE_BYTES:
        answer = FaithfulResponse(b"".join(chunks), status=status)
    elif isinstance(request, ASGIRequest):
        answer = FaithfulStream(_asynchronous(chunks), status=status)
    else:
        answer = FaithfulStream(chunks, status=status)
    if task.reason_phrase and replay.status is None:
        answer.reason_phrase = task.reason_phrase
    changed = {name.lower() for name, _ in replay.headers} | replay.drop
    kept = tuple((name, text) for name, text in task.headers if name.lower() not in changed)
    own = {name.lower() for name, _ in kept}
    defaults = tuple((name, text) for name, text in replay.defaults if name.lower() not in own)
    answer.put_headers((*kept, *replay.headers, *defaults))
    if size and not answer.has_header("Content-Length"):
        answer.headers["Content-Length"] = str(size)
    return answer


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(partial(next, chunks, None))
    while (chunk := await take()) is not None:
        yield chunk
