"""From a view's answer to what is stored, and from what is stored or rendered to an answer: byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import ResponseHeaders
from django.utils.cache import get_conditional_response
from django.utils.http import parse_http_date_safe

from . import bodies, headers, ranges
from .conf import conf
from .messages import Headers, Replay, Response, header
from .models import AsyncTask, Body

UNCOMPRESSED = {"Content-Encoding": "identity"}
"""Says to middlewares that a part is not to be compressed: it is counted in bytes of the whole. It is not sent."""

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
        spoken = [pair for pair in self.headers.items() if pair not in UNCOMPRESSED.items()]
        current = {name.lower(): (name, text) for name, text in spoken}
        kept = [pair for pair in self._given if pair[0] in self.headers]
        return [*(current.pop(name.lower(), (name, text)) for name, text in kept), *current.values()]


class FaithfulResponse(FaithfulHeaders, HttpResponse):
    """A whole answer."""


class FaithfulStream(FaithfulHeaders, StreamingHttpResponse):
    """An answer of any size."""


Faithful: TypeAlias = FaithfulResponse | FaithfulStream


def respond(response: Response) -> HttpResponse:
    """Send a dialect's answer as it stands."""
    answer = FaithfulResponse(response.body, status=response.status)
    answer.put_headers(response.headers)
    return answer


def replayed(replay: Replay, task: AsyncTask, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Send the stored answer of ``task``, changed as ``replay`` says. Small ones whole, others as a stream."""
    body = task.response_body()
    given = _headers(replay, task)
    if body and replay.status == task.status_code == 200:
        return _file(body, given, task, request)
    status = replay.status or task.status_code or 500
    answer = _answer(status, bodies.stream(body), body.size if body else 0, request)
    if task.reason_phrase and replay.status is None:
        answer.reason_phrase = task.reason_phrase
    answer.put_headers(given)
    if body and not answer.has_header("Content-Length"):
        answer.headers["Content-Length"] = str(body.size)
    return answer


def _headers(replay: Replay, task: AsyncTask) -> Headers:
    changed = {name.lower() for name, _ in replay.headers} | replay.drop
    given = (*((name, text) for name, text in task.headers if name.lower() not in changed), *replay.headers)
    named = {name.lower() for name, _ in given}
    return (*given, *((name, text) for name, text in replay.defaults if name.lower() not in named))


def _answer(status: int, chunks: Iterator[bytes], size: int, request: HttpRequest) -> Faithful:
    """An answer of ``size`` bytes. For HEAD they are not read; not every server would throw them away."""
    if request.method == "HEAD":
        return FaithfulResponse(status=status)
    if size <= conf.INLINE_BYTES:
        return FaithfulResponse(b"".join(chunks), status=status)
    if isinstance(request, ASGIRequest):
        return FaithfulStream(_asynchronous(chunks), status=status)
    return FaithfulStream(chunks, status=status)


# Files: conditions and parts (RFC 9110, sections 13 and 14) -----------------------------------------------------------


def _file(body: Body, given: Headers, task: AsyncTask, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """A stored answer as a file: not sent where the client has it, and in part where it asks for one part."""
    etag = header(given, "ETag") or (f'"{body.sha256}"' if body.sha256 else None)
    validators = {"ETag": etag, "Accept-Ranges": "bytes"} if etag else {"Accept-Ranges": "bytes"}
    bare = FaithfulResponse()
    _with_headers(bare, given, validators)
    other = get_conditional_response(request, etag, _last_modified(given, task), bare)
    if other is not None and other is not bare:
        return other
    wanted = None
    if request.method == "GET" and ranges.unchanged(request.headers.get("If-Range", ""), etag):
        wanted = ranges.asked(request.headers.get("Range", ""), body.size)
    if wanted is None:
        whole = _answer(200, bodies.stream(body), body.size, request)
        return _with_headers(whole, given, {**validators, "Content-Length": str(body.size)})
    return _part(wanted, body, given, validators, request)


def _part(wanted: range, body: Body, given: Headers, validators: Mapping[str, str], request: HttpRequest) -> Faithful:
    framing = {**validators, "Content-Length": str(len(wanted))}
    if not wanted:
        return _with_headers(FaithfulResponse(status=416), given, {**framing, "Content-Range": f"bytes */{body.size}"})
    framing |= {"Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{body.size}"}
    answer = _answer(206, ranges.cut(bodies.stream(body), wanted), len(wanted), request)
    return _with_headers(answer, given, {**framing, **UNCOMPRESSED})


def _with_headers(answer: Faithful, given: Headers, ours: Mapping[str, str]) -> Faithful:
    """``answer`` with the ``given`` headers, and those of ours that they do not name."""
    answer.put_headers(given)
    for name, text in ours.items():
        answer.headers.setdefault(name, text)
    return answer


def _last_modified(given: Headers, task: AsyncTask) -> int | None:
    """In Unix seconds: as the view said, or else the end of the run, after which nothing changes."""
    told = parse_http_date_safe(header(given, "Last-Modified") or "")
    return told or (int(task.finished.timestamp()) if task.finished else None)


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(partial(next, chunks, None))
    while (chunk := await take()) is not None:
        yield chunk
