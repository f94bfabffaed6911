"""The project of the journeys, with slow views behind a proxy."""

from __future__ import annotations

import time

from django.urls import path
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response

from django_asyncexchange.decorators import allow_async

from . import site


@allow_async(patience=1)
@api_view(["GET", "POST"])
@permission_classes([AllowAny])
def sleeps(request, seconds):
    time.sleep(seconds)
    task = request.async_task
    return Response({"slept": seconds}, headers={"X-Task": str(task.id)} if task else {})


@api_view(["GET"])
@permission_classes([AllowAny])
def oversleeps(request, seconds):
    time.sleep(seconds)
    return Response({"slept": seconds})


@allow_async(patience=site.PATIENCE)
@api_view(["POST"])
def keeps(request, name):
    """Leave a trace of each run, and wait until the mark ``name`` is set."""
    site.counts(request._request, name)
    return site.holds(request._request, name)


urlpatterns = [
    path("sleeps/<int:seconds>/", sleeps),
    path("oversleeps/<int:seconds>/", oversleeps),
    path("keeps/<name>/", keeps),
    *site.urlpatterns,
]
