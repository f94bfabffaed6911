"""The views that the pages call: ``myproject/urls.py`` of the reader's project."""

from __future__ import annotations

import socket

from django.urls import include, path
from rest_framework.decorators import api_view
from rest_framework.response import Response

from django_asyncexchange.decorators import allow_async


@allow_async
@api_view(["GET", "POST"])
def answers(request):
    return Response({"user": request.user.username})


@allow_async
@api_view(["GET", "POST"])
def lasts(request):
    """Never return; a test ends it."""
    here, there = socket.socketpair()
    with here, there:
        here.recv(1)


@allow_async(patience=0.2)
@api_view(["GET"])
def slow(request):
    """Take longer than its patience; the task's run limit ends it."""
    return lasts(request._request)


@allow_async
@api_view(["GET"])
def fills(request):
    """More than fits into a row."""
    return Response({"rows": list(range(20_000))})


urlpatterns = [
    *(path(f"{folder}/stock", answers) for folder in ("reports", "api/remap/1.2/report")),
    *(path(f"{folder}/lasts", lasts) for folder in ("reports", "api/v2", "api/remap/1.2/report")),
    path("reports/slow", slow),
    path("orders/", answers),
    path("generic/buyer/", answers),
    path("api/goods", answers),
    path("api/v2/campaigns.json", answers),
    path("api/remap/1.2/report/large", fills),
    path("unifiedconfig/config/calltype", answers),
    path("unifiedconfig/config/lasts", lasts),
    path("", include("django_asyncexchange.urls")),
]
