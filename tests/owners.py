"""Clients of callers who are no users: an OAuth2 application, a caller named by SNAPSHOT_USER, and a key holder.

As a module it is also a URLconf.
"""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from django.utils import timezone
from ninja import NinjaAPI
from ninja.security import APIKeyHeader
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.models import AccessToken, Application
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

HOOKS = {"SNAPSHOT_USER": f"{__name__}.name_of", "RESTORE_USER": f"{__name__}.user_of"}
"""For ``ASYNC_EXCHANGE``."""
LETTER = "secret-of-"
"""How a key begins that belongs to no row."""


def service(name: str) -> Any:
    return SimpleNamespace(is_authenticated=True, is_active=True, pk=None, name=name, __str__=lambda: name)


def name_of(request: Any) -> str:
    return getattr(request.user, "name", "")


def user_of(name: str, auth: Any) -> Any:
    return service(name)


class ByName(BaseAuthentication):
    """Known to another system only."""

    def authenticate(self, request: Any) -> Any:
        return service(request.headers["X-Service"]), None


class Open(APIView):
    async_exchange = True
    permission_classes = (AllowAny,)

    def get(self, request: Any) -> Response:
        return Response({"auth": str(request.auth)})


class Key(APIKeyHeader):
    """A key of a row, or of none."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return key if (key or "").startswith(LETTER) else Group.objects.filter(name=key).first()


keys = NinjaAPI(auth=Key(), urls_namespace="owners", docs_url=None, openapi_url=None)


@keys.get("/key")
def by_key(request: HttpRequest) -> dict[str, str]:
    return {"auth": str(request.auth)}  # type: ignore[attr-defined]


by_key.async_exchange = True  # type: ignore[attr-defined]
urlpatterns = [
    path("by/oauth/", Open.as_view(authentication_classes=(OAuth2Authentication,))),
    path("by/name/", Open.as_view(authentication_classes=(ByName,))),
    path("by/", keys.urls),
]


def application(name: str) -> Client:
    """Client credentials: there is no user."""
    row = Application.objects.create(
        name=name,
        user=User.objects.get_or_create(username="who registers applications")[0],
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    token = AccessToken.objects.create(
        application=row, token=f"of-{row.pk}", expires=timezone.now() + dt.timedelta(hours=1), scope="read"
    )
    return Client(headers={"Authorization": f"Bearer {token.token}"})


def named(name: str) -> Client:
    return Client(headers={"X-Service": name})


def holder(key: str) -> Client:
    return Client(headers={"X-API-Key": key})
