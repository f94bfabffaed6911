"""A view that returns its tenant and its user."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from django_asyncexchange.decorators import allow_async


@allow_async
@login_required
def whoami(request: HttpRequest) -> JsonResponse:
    user = request.user
    return JsonResponse({"tenant": connection.schema_name, "user": user.pk, "name": user.get_username()})


urlpatterns = [path("whoami/", whoami), path("", include("django_asyncexchange.urls"))]
