"""Views with large responses, and a storage whose deletions kill: for processes that are killed or measured."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator

from django.core.files.storage import FileSystemStorage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path

MB = 1024 * 1024
PIECE = random.Random(3).randbytes(MB)


def streams(request: HttpRequest, megabytes: int) -> StreamingHttpResponse:
    """Stream so many megabytes, none of which is kept."""
    return StreamingHttpResponse((PIECE for _ in range(megabytes)), content_type="application/octet-stream")


async def streams_asynchronously(request: HttpRequest, megabytes: int) -> StreamingHttpResponse:
    """The same under ASGI, in pieces of 16 KB."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            for start in range(0, MB, MB // 64):
                yield PIECE[start : start + MB // 64]

    return StreamingHttpResponse(chunks(), content_type="application/octet-stream")


def pauses(request: HttpRequest) -> StreamingHttpResponse:
    """Report the middle of the response, and wait for a line of input."""

    def chunks() -> Iterator[bytes]:
        yield PIECE * 2
        print("halfway", flush=True)
        sys.stdin.readline()
        yield PIECE

    return StreamingHttpResponse(chunks(), content_type="application/octet-stream")


def reads(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.read(1))


class Deadly(FileSystemStorage):
    """A deletion kills its process."""

    def delete(self, name: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("streams/<int:megabytes>/", streams),
    path("streams-asynchronously/<int:megabytes>/", streams_asynchronously),
    path("pauses/", pauses),
    path("reads/", reads),
]
