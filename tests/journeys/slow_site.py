"""The project of the journeys, with slow views behind a proxy."""

from __future__ import annotations

import time

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
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


@allow_async(patience=1)
def signs(request, seconds):
    """A form that submits itself."""
    time.sleep(seconds)
    fields = f'<input name="csrfmiddlewaretoken" value="{get_token(request)}"><input name="name" value="Anna">'
    script = "<script>document.forms[0].submit()</script>" if request.async_task else ""
    return HttpResponse(f'<form method="post" action="/saves/">{fields}</form>{script}')


@allow_async(patience=site.PATIENCE)
def saves(request):
    """Leave a message for the next page."""
    messages.success(request, f"Signed by {request.POST['name']}")
    return HttpResponseRedirect("/signed/")


@allow_async(patience=site.PATIENCE)
def signed(request):
    texts = " ".join(str(message) for message in messages.get_messages(request))
    return HttpResponse(f"<p>{texts} {'in' if request.async_task else 'without'} a task</p>")


urlpatterns = [
    path("signs/<int:seconds>/", signs),
    path("saves/", saves),
    path("signed/", signed),
    path("sleeps/<int:seconds>/", sleeps),
    path("oversleeps/<int:seconds>/", oversleeps),
    path("keeps/<name>/", keeps),
    *site.urlpatterns,
]
