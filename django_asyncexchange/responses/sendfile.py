"""Let the web server (``SENDFILE``) or the bucket (``PRESIGNED``) send a file.

Only complete responses with status 200, because neither can send another. They handle preconditions, ranges and ETag.
"""

from __future__ import annotations

import math

from django.http import Http404, HttpRequest

from ..conf import conf
from ..models import AsyncTask, Body
from ..protocol.values import Headers, header
from ..store import bodies
from . import raw

REDIRECTED = (("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"), ("Content-Length", "0"))
THEIRS = frozenset({"etag", "last-modified", "accept-ranges", "content-length"})
"""Headers that the web server sets itself."""


def by_server(body: Body, given: Headers, request: HttpRequest) -> raw.ExactResponse | None:
    """The response that makes the web server send the file, with the ``given`` headers; None = it is sent here.

    Raises StorageFailed where the file is missing.
    """
    is_theirs = conf.SENDFILE and conf.has_sendfile_server and not header(given, "Content-Encoding")  # nginx loses it
    path = bodies.local_path(body) if is_theirs else None
    if path is None:
        return None
    from django_sendfile import sendfile

    try:
        response = sendfile(request, path, mimetype=header(given, "Content-Type"))
    except Http404 as error:
        raise bodies.StorageFailed(str(error)) from error
    if response.streaming or response.content:  # a custom backend that reads the file itself
        return None
    named = (
        {name.lower() for name, _ in given} | THEIRS | {"content-type", "content-disposition", "content-encoding"}
    )  # guessed
    instructions = ((name, text) for name, text in response.items() if name.lower() not in named)
    kept = ((name, text) for name, text in given if name.lower() not in THEIRS)
    return raw.bare(200, (*kept, *instructions))


def by_bucket(body: Body, given: Headers, task: AsyncTask, request: HttpRequest) -> raw.ExactResponse | None:
    """A redirect to the bucket that is valid for ``LINK_LIFETIME``; None = the file is sent here.

    Such a URL cannot be revoked. HEAD is answered here, because a URL is signed for one method.
    """
    if not conf.PRESIGNED or request.method != "GET" or header(given, "Content-Encoding"):
        return None
    lifetime = conf.policy(task.dialect).link_lifetime
    if task.deletion_date is not None:
        lifetime = min(lifetime, task.deletion_date - task.now)
    address = bodies.presigned_url(
        body,
        seconds=math.floor(lifetime.total_seconds()),
        content_type=header(given, "Content-Type") or "",
        disposition=header(given, "Content-Disposition") or "",
    )
    return None if address is None else raw.bare(302, (("Location", address), *REDIRECTED))
