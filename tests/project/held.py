"""A URLconf: a view that holds the GIL, as C code may."""

from __future__ import annotations

import ctypes

from django.http import HttpResponse
from django.urls import path

from ..services import PATIENCE


def holds(request):
    ctypes.PyDLL(None).sleep(6 * PATIENCE)  # PyDLL does not release it
    return HttpResponse()


urlpatterns = [path("holds/", holds)]
