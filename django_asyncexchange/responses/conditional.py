"""Serve a stored response: conditional requests and ranges (RFC 9110 sections 13 and 14), compression."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.http import http_date, parse_http_date_safe

from ..conf import conf
from ..models import AsyncTask, Body
from ..protocol import byte_ranges, content_encoding
from ..protocol.values import Headers, header
from ..store import bodies
from . import raw
from .exact import UNCOMPRESSED


def file(body: Body, given: Headers, task: AsyncTask, request: HttpRequest) -> raw.Exact:
    """``body`` as a file: 304 where the client has it, 206 where it requests one range."""
    etag = header(given, "ETag") or (f'"{body.sha256}"' if body.sha256 else None)
    modified = _last_modified(given, task)
    dated = (("Last-Modified", http_date(modified)),) if modified else ()
    given = with_defaults(given, (*((("ETag", etag),) if etag else ()), *dated, ("Accept-Ranges", "bytes")))
    if _is_negotiable(body, given):
        given = content_encoding.with_vary(given)
    refused = _unmet(etag, modified, body, given, request)
    if refused is not None:
        return refused
    if request.method == "GET" and byte_ranges.if_range_holds(request.headers.get("If-Range", ""), etag):
        wanted = byte_ranges.requested(request.headers.get("Range", ""), body.size)
        if wanted is not None:
            return _part(wanted, body, given, request)
    return whole(200, body, given, request)


def whole(status: int, body: Body, given: Headers, request: HttpRequest) -> raw.Exact:
    """All of ``body``, compressed where it is large text and the client accepts gzip."""
    chunks = bodies.stream(body)
    if _is_negotiable(body, given):
        given = content_encoding.with_vary(given)
    if _is_packed(body, given, request):
        return raw.packed(status, content_encoding.compressed(given), chunks, request)
    given = with_defaults(given, (("Content-Length", str(body.size)),))
    if raw.can_send(request) and (opened := bodies.open_file(body)) is not None:
        return raw.sent(status, given, opened)
    return raw.full(status, given, chunks, body.size, request)


def _is_negotiable(body: Body, given: Headers) -> bool:
    """Whether ``body`` is compressed for clients that accept it. Small ones are left to the project's middleware."""
    return body.size > conf.INLINE_BYTES and content_encoding.is_compressible(given)


def _is_packed(body: Body, given: Headers, request: HttpRequest) -> bool:
    return _is_negotiable(body, given) and content_encoding.accepts_gzip(request.headers.get("Accept-Encoding", ""))


def _unmet(
    etag: str | None, modified: int | None, body: Body, given: Headers, request: HttpRequest
) -> raw.Exact | None:
    """304 or 412 where a precondition of the request is not met."""
    met = raw.bare(200, content_encoding.compressed(given) if _is_packed(body, given, request) else given)
    return raw.conditional(request, etag, modified, met)


def _part(wanted: range, body: Body, given: Headers, request: HttpRequest) -> raw.Exact:
    given = with_defaults(given, (("Content-Length", str(len(wanted))),))
    if not wanted:
        return raw.bare(416, with_defaults(given, (("Content-Range", f"bytes */{body.size}"),)))
    place = ("Content-Range", f"bytes {wanted.start}-{wanted.stop - 1}/{body.size}")
    chunks = byte_ranges.cut(bodies.stream(body, wanted.start), range(len(wanted)))
    return raw.full(206, with_defaults(given, (place, UNCOMPRESSED)), chunks, len(wanted), request)


def with_defaults(given: Headers, ours: Headers) -> Headers:
    """The ``given`` headers, and those of ``ours`` that they do not name."""
    return (*given, *((name, text) for name, text in ours if header(given, name) is None))


def _last_modified(given: Headers, task: AsyncTask) -> int | None:
    """The view's ``Last-Modified``, or the end of the run, in Unix seconds."""
    stated = parse_http_date_safe(header(given, "Last-Modified") or "")
    return stated or (int(task.finished.timestamp()) if task.finished else None)
