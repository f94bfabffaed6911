"""A page of a test that a real browser opens: it visits other pages in a frame, and tells what it sees there."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

FRAMES = "django.middleware.clickjacking.XFrameOptionsMiddleware"
"""The middleware that forbids frames."""
TOLD: list[dict[str, Any]] = []
"""What the page has sent to /told/."""


def visit(request: HttpRequest, page: str) -> HttpResponse:
    """``page``, for the only user, who is logged in by it."""
    login(request, User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse(page)


@csrf_exempt
def told(request: HttpRequest) -> HttpResponse:
    TOLD.append(json.loads(request.body))
    return HttpResponse()


urlpatterns = [path("told/", told)]
