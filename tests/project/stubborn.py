"""A URLconf: a view that nothing inside its process can interrupt."""

from __future__ import annotations

import signal
import time

from django.http import HttpResponse
from django.urls import path

from ..services import PATIENCE


def stubborn(request):
    """Like C code that blocks signals; ends by itself long after any test has looked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    print("entered", flush=True)
    time.sleep(6 * PATIENCE)
    return HttpResponse()


urlpatterns = [path("stubborn/", stubborn)]
