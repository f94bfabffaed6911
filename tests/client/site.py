"""What the clients call: a view that keeps a ledger of its runs, and returns any response."""

from __future__ import annotations

import random
from collections.abc import Iterator

from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path

from django_asyncexchange.decorators import allow_async

MB = 1024 * 1024
PIECE = random.Random(5).randbytes(MB - 8)


def body(size: int) -> bytes:
    """The same bytes for the same size."""
    return random.Random(size).randbytes(size)


def text(size: int) -> bytes:
    """Lines that can be compressed, each of which is another."""
    return b"".join(b"%015d\n" % number for number in range(size // 16))


@allow_async
def works(request: HttpRequest, name: str, status: int, size: int) -> HttpResponse:
    """Enter the run into the ledger; ``?type=`` is the content type."""
    Group.objects.create(name=f"{name} {Group.objects.count()}")
    kind = request.GET.get("type", "application/octet-stream")
    made = text if kind.startswith("text/") else body
    return HttpResponse(made(size), status=status, content_type=kind)


def pieces(megabytes: int) -> Iterator[bytes]:
    """So many megabytes, each of which is another."""
    return (number.to_bytes(8, "big") + PIECE for number in range(megabytes))


@allow_async
def streams(request: HttpRequest, megabytes: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(pieces(megabytes), content_type="application/octet-stream")


def runs(name: str) -> int:
    """The lines of the ledger."""
    return Group.objects.filter(name__startswith=f"{name} ").count()


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("works/<name>/<int:status>/<int:size>/", works),
    path("streams/<int:megabytes>/", streams),
]
