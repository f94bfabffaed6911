"""A URLconf with an API of Django Ninja."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import include, path
from ninja import NinjaAPI
from ninja.security import APIKeyHeader

from django_asyncexchange.decorators import allow_async


class Key(APIKeyHeader):
    param_name = "X-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return key


api = NinjaAPI(urls_namespace="openapi", auth=Key())


@api.get("/stock")
@allow_async
def stock(request: HttpRequest) -> dict[str, int]:
    return {"pieces": 14}


urlpatterns = [path("api/", api.urls), path("", include("django_asyncexchange.urls"))]
