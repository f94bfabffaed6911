"""From a view's answer to what is stored, and from what is stored or rendered to an answer: byte for byte."""

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
"""Headers that are one reference. At the address of a task a relative one would lead elsewhere."""
TARGET = re.compile(r"(^\s*|,\s*)<([^<>]*)>")
"""The target of one of the links in ``Link`` (RFC 8288 section 3)."""
EMPTY: Headers = (("Content-Length", "0"),)

# Response → value -----------------------------------------------------------------------------------------------------


def stored_headers(response: Any, request: HttpRequest | None = None) -> Headers:
    """Every header of ``response`` that may be stored, in order, duplicates kept. Cookies are not in ``items()``.

    The length that an answer to HEAD names is nowhere else.
    """
    kept = {"content-length"} if request is not None and request.method == "HEAD" else set()
    given = [
        (name, text) for name, text in response.items() if name.lower() in kept or header_rules.may_be_stored(name)
    ]
    return tuple(given) if request is None else tuple(_as_meant(name, text, request) for name, text in given)


def _as_meant(name: str, text: str, request: HttpRequest) -> tuple[str, str]:
    """A header that refers to something, as seen from another address than that of ``request`` (RFC 3986 section 5)."""
    key = name.lower()
    if key in PLACES:
        return name, _resolved(text, request)
    if key == "link":
        return name, TARGET.sub(lambda found: f"{found[1]}<{_resolved(found[2], request)}>", text)
    return name, text


def _resolved(reference: str, request: HttpRequest) -> str:
    """``reference``; where it is relative to the path of ``request``, with a path of its own."""
    try:
        parts = urlsplit(reference)
        is_relative = not (parts.scheme or parts.netloc or parts.path.startswith("/"))
        return urljoin(request.get_full_path(), reference) if is_relative else reference
    except ValueError:
        return reference


def unpacked(response: Any) -> Any:
    """``response`` as it was before it was compressed for its client: the stored one is for every later reader."""
    if not response.has_header("Content-Encoding") or not content_encoding.is_negotiated(tuple(response.items())):
        return response
    if not response.streaming:
        with suppress(zlib.error):  # it is no gzip: as it says it is
            response.content = b"".join(content_encoding.unpacked([response.content]))
            del response["Content-Encoding"]
        return response
    unpack = content_encoding.unpacked_later if response.is_async else content_encoding.unpacked
    response.streaming_content = unpack(response.streaming_content)
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
    """Send a dialect's answer as it stands."""
    answer = raw.FaithfulResponse(response.body, status=response.status)
    answer.put_headers(response.headers)
    return answer


def unless_known(answer: HttpResponse, request: HttpRequest) -> HttpResponse:
    """A document under its ETag, or 304 where the client that polls has it already (RFC 9110 section 13)."""
    if answer.status_code != 200 or request.method not in ("GET", "HEAD"):
        return answer
    etag = f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    answer.headers["ETag"] = etag
    return raw.conditional(request, etag, None, answer) or answer


def replayed(replay: Replay, task: AsyncTask, request: HttpRequest, *, is_at_its_address: bool = True) -> raw.Faithful:
    """Send the stored answer of ``task``, changed as ``replay`` says. Small ones whole, others as a stream.

    At its own address a successful one is a file, with conditions and parts. At that of its call it is what the call
    would have been answered. No middleware changes it any more. Raises StorageFailed where its bytes are not there.
    """
    answer = _replayed(replay, task, request, is_file=is_at_its_address and task.status_code == 200)
    answer.fix()
    return answer


def _replayed(replay: Replay, task: AsyncTask, request: HttpRequest, *, is_file: bool) -> raw.Faithful:
    body = task.response_body()
    given = _headers(replay, task)
    if body or request.method != "HEAD":
        given = tuple(pair for pair in given if pair[0].lower() != "content-length")
    if body and is_file and replay.status == 200:  # behind a signed link, which may lead on
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
    return _for_one_reader(functools.reduce(content_encoding.varied, replay.vary, given))


def _for_one_reader(given: Headers) -> Headers:
    """``given``; where its view has allowed caches to keep it without a word about shared ones, they may not.

    At the address of its call ``Vary`` and ``Authorization`` would have kept its readers apart (RFC 9111, 3.5 and 4.1).
    """
    told = ", ".join(text for name, text in given if name.lower() == "cache-control")
    spoken = {directive.partition("=")[0].strip().lower() for directive in told.split(",")}
    if spoken & {"private", "public", "s-maxage", "no-store"}:
        return given
    rest = tuple(pair for pair in given if pair[0].lower() != "cache-control")
    return (*rest, ("Cache-Control", f"{told}, private"))
