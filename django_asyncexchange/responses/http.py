"""Convert a view's response to what is stored, and what is stored or rendered to a response: byte for byte."""

from __future__ import annotations

import functools
import hashlib
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.http import HttpRequest, HttpResponse

from ..models import AsyncTask
from ..protocol import content_encoding, header_rules
from ..protocol.values import Headers, Replay, Response
from . import conditional, raw, sendfile

PLACES = frozenset({"location", "content-location", "operation-location"})
"""Headers that are one URL reference, which is resolved: relative to the task's URL it would mean another one."""
TARGET = re.compile(r"(^\s*|,\s*)<([^<>]*)>")
"""The target of one of the links in ``Link`` (RFC 8288 section 3)."""
EMPTY: Headers = (("Content-Length", "0"),)

# Response → value -----------------------------------------------------------------------------------------------------


def stored_headers(response: Any, request: HttpRequest | None = None) -> Headers:
    """The headers of ``response`` that are stored, in order and with duplicates. Cookies are not in ``items()``.

    A response to HEAD keeps its ``Content-Length``, which cannot be derived from its body.
    """
    kept = {"content-length"} if request is not None and request.method == "HEAD" else set()
    given = [
        (name, text) for name, text in response.items() if name.lower() in kept or header_rules.may_be_stored(name)
    ]
    return tuple(given) if request is None else tuple(_with_resolved_urls(name, text, request) for name, text in given)


def _with_resolved_urls(name: str, text: str, request: HttpRequest) -> tuple[str, str]:
    """The header with its URL references resolved against the URL of ``request`` (RFC 3986 section 5)."""
    key = name.lower()
    if key in PLACES:
        return name, _resolved(text, request)
    if key == "link":
        return name, TARGET.sub(lambda found: f"{found[1]}<{_resolved(found[2], request)}>", text)
    return name, text


def _resolved(reference: str, request: HttpRequest) -> str:
    """``reference``, resolved where it is relative to the path of ``request``."""
    try:
        parts = urlsplit(reference)
        is_relative = not (parts.scheme or parts.netloc or parts.path.startswith("/"))
        return urljoin(request.get_full_path(), reference) if is_relative else reference
    except ValueError:
        return reference


def decompressed(response: Any) -> Any:
    """``response`` without gzip that was negotiated for its client: the stored one is for every later client."""
    if not response.has_header("Content-Encoding") or not content_encoding.is_negotiated(tuple(response.items())):
        return response
    if not response.streaming:
        with suppress(zlib.error):  # not gzip: kept as it is
            response.content = b"".join(content_encoding.decompressed([response.content]))
            del response["Content-Encoding"]
        return response
    decompress = content_encoding.adecompressed if response.is_async else content_encoding.decompressed
    response.streaming_content = decompress(response.streaming_content)
    del response["Content-Encoding"]
    return response


def chunks_of(response: Any) -> Iterable[bytes]:
    """The response's body, as it is produced."""
    if not response.streaming:
        return [response.content]
    chunks: Iterable[bytes] = iter(response)  # also turns an asynchronous iterator into an ordinary one
    return chunks


# Value → response -----------------------------------------------------------------------------------------------------


def respond(response: Response) -> HttpResponse:
    """A dialect's response, unchanged."""
    answer = raw.ExactResponse(response.body, status=response.status)
    answer.put_headers(response.headers)
    return answer


def with_etag(answer: HttpResponse, request: HttpRequest) -> HttpResponse:
    """A 200 with an ETag, or 304 where the client has the same document (RFC 9110 section 13)."""
    if answer.status_code != 200 or request.method not in ("GET", "HEAD"):
        return answer
    etag = f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    answer.headers["ETag"] = etag
    return raw.conditional(request, etag, None, answer) or answer


def replayed(replay: Replay, task: AsyncTask, request: HttpRequest, *, at_own_url: bool = True) -> raw.Exact:
    """The stored response of ``task``, changed as ``replay`` says; large ones are streamed.

    At its own URL a 200 is a file, with preconditions and ranges. At the URL of its call it is the response that the
    synchronous call would have had. Middleware cannot change it. Raises StorageFailed where its body is missing.
    """
    given = _headers(replay, task)
    if at_own_url:
        given = _private_by_default(given)
    is_whole = (replay.status or task.status_code) == 200 and task.status_code != 206
    answer = _replayed(replay, task, given, request, is_file=at_own_url and is_whole)
    answer.freeze()
    return answer


def _replayed(replay: Replay, task: AsyncTask, given: Headers, request: HttpRequest, *, is_file: bool) -> raw.Exact:
    body = task.response_body()
    if body or request.method != "HEAD":
        given = tuple(pair for pair in given if pair[0].lower() != "content-length")
    if body and is_file and replay.status == 200:  # a signed link, which may redirect
        handed = sendfile.by_server(body, given, request) or sendfile.by_bucket(body, given, task, request)
        return handed or conditional.file(body, given, task, request)
    if body and is_file:
        answer = conditional.file(body, given, task, request)
    elif body:
        answer = conditional.whole(replay.status or task.status_code or 500, body, given, request)
    else:
        answer = raw.bare(replay.status or task.status_code or 500, conditional.with_defaults(given, EMPTY))
    if task.reason_phrase and replay.status is None and answer.status_code == task.status_code:
        answer.reason_phrase = task.reason_phrase
    return answer


def _headers(replay: Replay, task: AsyncTask) -> Headers:
    changed = {name.lower() for name, _ in replay.headers} | replay.drop
    given = (*((name, text) for name, text in task.headers if name.lower() not in changed), *replay.headers)
    named = {name.lower() for name, _ in given}
    given = (*given, *((name, text) for name, text in replay.defaults if name.lower() not in named))
    return functools.reduce(content_encoding.with_vary, replay.vary, given)


def _private_by_default(given: Headers) -> Headers:
    """``given``, with ``private`` where the view's ``Cache-Control`` does not mention shared caches.

    At the URL of its call ``Vary`` and ``Authorization`` would have separated clients (RFC 9111 sections 3.5 and 4.1).
    """
    stated = ", ".join(text for name, text in given if name.lower() == "cache-control")
    directives = {directive.partition("=")[0].strip().lower() for directive in stated.split(",")}
    if directives & {"private", "public", "s-maxage", "no-store"}:
        return given
    rest = tuple(pair for pair in given if pair[0].lower() != "cache-control")
    return (*rest, ("Cache-Control", f"{stated}, private"))
