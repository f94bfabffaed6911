"""The project that is measured: views that do as little as possible, and their twins."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from rest_framework import generics, serializers
from rest_framework.decorators import api_view
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.rest.pagination import WholeCollectionMixin
from django_asyncexchange.rest.whole_collection import WholeCollectionView

from ..journeys.celery import app  # noqa: F401  (what is sent from here goes through it)
from . import peers
from .models import Item, Record

MB = 1024 * 1024
PIECE = bytes(range(256)) * 256
PAGE = 1000


class Works(APIView):
    """Look at the request's data."""

    async_exchange = True

    def get(self, request: Request) -> Response:
        return Response(peers.answer(request.query_params))

    def post(self, request: Request) -> Response:
        return Response(peers.answer(request.data))


class Inserts(Works):
    """The same with one INSERT."""

    async_exchange = False

    def get(self, request: Request) -> Response:
        insert(request)
        return super().get(request)

    def post(self, request: Request) -> Response:
        insert(request)
        return super().post(request)


def insert(request: Request) -> Record:
    known = {"headers": dict(request.headers), "data": request.data, "path": request.path}
    return Record.objects.create(owner=request.user, url=request.build_absolute_uri(), request=known)


class ByCelery(APIView):
    def post(self, request: Request) -> Response:
        return Response({"id": peers.with_celery.delay(request.data).id}, status=202)


class ByTasks(APIView):
    def post(self, request: Request) -> Response:
        return Response({"id": peers.with_tasks.enqueue(request.data).id}, status=202)


class RecordSerializer(serializers.ModelSerializer[Record]):
    class Meta:
        model = Record
        fields = ("id", "state", "method", "url", "created", "started", "finished", "deletion_date")


class Records(generics.RetrieveAPIView[Record]):
    serializer_class = RecordSerializer

    def get_queryset(self) -> Any:
        return Record.objects.filter(owner=self.request.user)


@allow_async
def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"done")


@allow_async
@api_view(["GET"])
def streams(request: Request, megabytes: int) -> StreamingHttpResponse:
    """Stream so many megabytes, none of which is kept."""

    def pieces() -> Iterator[bytes]:
        for _ in range(megabytes * MB // len(PIECE)):
            yield PIECE

    return StreamingHttpResponse(pieces(), content_type="application/octet-stream")


@allow_async(patience=60)
class Patient(Works):
    """The same, called without a preference."""


@allow_async
@api_view(["GET"])
def naps(request: Request) -> Response:
    """Take a while, and tell when it has ended."""
    time.sleep(random.uniform(0.5, 1.5))
    return Response({"ended": time.time()})


@allow_async(patience=600)
@api_view(["GET"])
def held(request: Request) -> Response:
    """Is never run: there is no worker."""
    return Response()


def sleeps(request: HttpRequest) -> HttpResponse:
    time.sleep(600)
    return HttpResponse()


async def asleep(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(600)
    return HttpResponse()


# Reports --------------------------------------------------------------------------------------------------------------


class ItemSerializer(serializers.ModelSerializer[Item]):
    class Meta:
        model = Item
        fields = ("id", "name", "article", "quantity", "price", "updated")


class Pages(WholeCollectionMixin, LimitOffsetPagination):
    default_limit = max_limit = PAGE


class Report(WholeCollectionView, generics.ListAPIView[Item]):
    """All items: paged immediately, whole when deferred."""

    async_exchange = True
    pagination_class = Pages
    serializer_class = ItemSerializer
    queryset = Item.objects.order_by("pk")


class AllAtOnce(generics.ListAPIView[Item]):
    """All items, as REST framework returns them without pagination."""

    pagination_class = None
    serializer_class = ItemSerializer
    queryset = Item.objects.order_by("pk")


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("plain/", plain),
    path("works/", Works.as_view()),
    path("inserts/", Inserts.as_view()),
    path("celery/", ByCelery.as_view()),
    path("tasks/", ByTasks.as_view()),
    path("records/<uuid:pk>/", Records.as_view()),
    path("patient/", Patient.as_view()),
    path("naps/", naps),
    path("held/", held),
    path("sleeps/", asleep if "BENCH_ASGI" in os.environ else sleeps),
    path("report/", Report.as_view()),
    path("report/all/", AllAtOnce.as_view()),
    path("streams/<int:megabytes>/", streams),
]
