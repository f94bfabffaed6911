"""Views with large answers, and a storage that does not survive deleting: for processes that are killed or measured."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator

from django.core.files.storage import FileSystemStorage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path

MB = 1024 * 1024
PIECE = random.Random(3).randbytes(MB)


def streams(request: HttpRequest, megabytes: int) -> StreamingHttpResponse:
    """So many megabytes, none of which is kept."""
    return StreamingHttpResponse((PIECE for _ in range(megabytes)), content_type="application/octet-stream")


def pauses(request: HttpRequest) -> StreamingHttpResponse:
    """Says so in the middle of its answer, and waits for a line of input."""

    def chunks() -> Iterator[bytes]:
        yield PIECE * 2
        print("halfway", flush=True)
        sys.stdin.readline()
        yield PIECE

    return StreamingHttpResponse(chunks(), content_type="application/octet-stream")


def reads(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.read(1))


class Deadly(FileSystemStorage):
    """Whoever deletes from it is killed."""

    def delete(self, name: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("streams/<int:megabytes>/", streams),
    path("pauses/", pauses),
    path("reads/", reads),
]
