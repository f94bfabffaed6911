"""Files that somebody else sends for us: the web server in front (``SENDFILE``), or the bucket itself (``PRESIGNED``).

Only whole answers with status 200: neither keeps another. Their conditions and parts are then theirs, ETag and all.
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
"""What the server in front says of a file by itself."""


def by_server(body: Body, given: Headers, request: HttpRequest) -> raw.FaithfulResponse | None:
    """The answer that tells the web server to send the file, with the ``given`` headers; None = it is ours to send.

    Raises StorageFailed where the file is not there.
    """
    is_theirs = conf.SENDFILE and conf.has_sendfile_server and not header(given, "Content-Encoding")  # nginx loses it
    path = bodies.local_path(body) if is_theirs else None
    if path is None:
        return None
    from django_sendfile import sendfile

    try:
        told = sendfile(request, path, mimetype=header(given, "Content-Type"))
    except Http404 as error:
        raise bodies.StorageFailed(str(error)) from error
    if told.streaming or told.content:  # a backend of the project's own that reads the file, too
        return None
    named = (
        {name.lower() for name, _ in given} | THEIRS | {"content-type", "content-disposition", "content-encoding"}
    )  # guessed
    orders = ((name, text) for name, text in told.items() if name.lower() not in named)
    kept = ((name, text) for name, text in given if name.lower() not in THEIRS)
    return raw.bare(200, (*kept, *orders))


def by_bucket(body: Body, given: Headers, task: AsyncTask, request: HttpRequest) -> raw.FaithfulResponse | None:
    """A redirection to the bucket, good for as long as a link of ours; None = the file is ours to send.

    Such an address cannot be revoked. HEAD is answered here, because an address is signed for one method.
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
