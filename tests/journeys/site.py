"""The project of the journeys."""

from __future__ import annotations

import os
import signal
import time

from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import include, path
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from django_asyncexchange.decorators import allow_async

PATIENCE = 90


@allow_async
@api_view(["POST"])
def mirror(request):
    """Echo the request's body, and the user."""
    headers = {"Content-Type": "text/x-mirror", "X-Caller": request.user.username, "X-Two": "a, b"}
    return HttpResponse(request.body, status=203, headers=headers)


@allow_async
@api_view(["POST"])
def refuses(request):
    raise ValidationError({"name": ["This is no name."]})


@allow_async
@api_view(["GET"])
def raises(request):
    raise RuntimeError("a view's own mistake")


@allow_async
@api_view(["POST"])
def counts(request, name):
    """Leave a trace of each run."""
    Group.objects.create(name=f"{name} {request.async_task.id}")
    return Response({"counted": name})


@allow_async
@api_view(["POST"])
def holds(request, name):
    """Wait until the mark ``name`` is set."""
    deadline = time.monotonic() + PATIENCE
    while not Group.objects.filter(name=name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return Response({"held": name})


@allow_async
@api_view(["GET"])
def dies(request, name):
    """Kill its own process during the first run."""
    is_first = not Group.objects.filter(name__startswith=f"{name} ").exists()
    if is_first:
        Group.objects.create(name=f"{name} {os.getpid()}")
        os.kill(os.getpid(), signal.SIGKILL)
    return Response({"survived": name})


@api_view(["PUT"])
def mark(request, name):
    Group.objects.create(name=name)
    return Response(status=204)


@api_view(["GET"])
def traces(request, name):
    found = Group.objects.filter(name__startswith=f"{name} ").values_list("name", flat=True)
    return Response([text.partition(" ")[2] for text in found])


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("mirror/", mirror),
    path("refuses/", refuses),
    path("raises/", raises),
    path("counts/<name>/", counts),
    path("dies/<name>/", dies),
    path("holds/<name>/", holds),
    path("marks/<name>/", mark),
    path("traces/<name>/", traces),
]
