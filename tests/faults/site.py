"""The faults' site: views that leave a trace of each run, and some that harm their worker."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
import uuid

from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpResponse
from django.urls import path
from django_q.signals import pre_execute
from rest_framework.decorators import api_view

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.signals import task_started

from ..journeys import site

BODY = b"." * 100_000
"""More than fits into a row."""


def trace(request, name):
    """A row with ``name``, the task, an id of the run, its process and its host."""
    run, host = uuid.uuid4().hex[:8], socket.gethostname()[:30]
    Group.objects.create(name=f"{name} {request.async_task.id} {run} {os.getpid()} {host}")


def seconds(request):
    return float(request.query_params.get("seconds", 0))


@allow_async
@api_view(["GET", "POST"])
def works(request, name):
    """Takes a while, and returns its process id."""
    trace(request, name)
    time.sleep(seconds(request))
    return HttpResponse(BODY, content_type="text/plain", headers={"X-Process": str(os.getpid())})


@allow_async
@api_view(["POST"])
def commits(request, name):
    """Takes a while, and commits its trace at the end or not at all."""
    with transaction.atomic():
        time.sleep(seconds(request))
        trace(request, name)
    return HttpResponse(BODY, content_type="text/plain")


@allow_async
@api_view(["GET", "POST"])
def poisons(request, name):
    """Kills its process each time."""
    trace(request, name)
    os.kill(os.getpid(), signal.SIGKILL)


@allow_async
@api_view(["POST"])
def shrugs(request, name):
    """Swallows exceptions."""
    trace(request, name)
    try:
        time.sleep(seconds(request))
    except Exception:
        time.sleep(seconds(request))
    return HttpResponse()


@allow_async
@api_view(["POST"])
def hogs(request, name):
    """Blocks in C and holds the GIL."""
    trace(request, name)
    ctypes.PyDLL(None).sleep(600)
    return HttpResponse()


VIEWS = {"works": works, "commits": commits, "poisons": poisons, "shrugs": shrugs, "hogs": hogs}

urlpatterns = [*site.urlpatterns, *(path(f"{word}/<name>/", view) for word, view in VIEWS.items())]


class Dying(DjangoQ):
    """For the web server: it dies after the commit, before anything is sent."""

    def send(self, id, job="run"):
        os.kill(os.getpid(), signal.SIGKILL)


class Doomed(DjangoQ):
    """For a cluster: FAULT_MOMENT says when all of it dies. The file FAULT_KILLS is there then."""

    @classmethod
    def connect(cls):
        super().connect()
        moment = os.environ.get("FAULT_MOMENT")
        if moment == "wake-up":
            pre_execute.connect(die_of_a_wake_up, weak=False)
        elif moment == "claim":
            task_started.connect(die, weak=False)


def die_of_a_wake_up(task, **kwargs):
    """A worker has a wake-up, and looks for a task next."""
    if task["ack_id"] < 0:
        die()


def die(**kwargs):
    open(os.environ["FAULT_KILLS"], "w").close()
    os.killpg(os.getpgrp(), signal.SIGKILL)
