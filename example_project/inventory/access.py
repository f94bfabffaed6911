"""Who calls (bearer tokens), for whom (the account), and what they may see."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from django_asyncexchange.protocol.values import Owner

from .models import AccessToken, Member


def digest_of(token: bytes) -> str:
    """What is stored of a token. Tokens are long and random in earnest, so a fast digest is enough."""
    return hashlib.sha256(token).hexdigest()


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <token>``."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AccessToken] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        found = (
            AccessToken.objects.filter(digest=digest_of(token.strip()), user__is_active=True)
            .select_related("user__member__account")
            .first()
        )
        if found is None:
            raise AuthenticationFailed("Invalid token.")
        return found.user, found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def member_of(user: AbstractBaseUser | AnonymousUser) -> Member | None:
    """The member behind ``user``; None for strangers and for users of the admin site alone."""
    return getattr(user, "member", None)


class IsMember(BasePermission):
    """Only members of some account."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return member_of(request.user) is not None


def require_administrator(request: Request) -> None:
    """Refuse who is not an administrator of the account (1016).

    Called from within views: rights to a report are known only once it is built, so that an asynchronous call is
    accepted first and ends in API_ERROR.
    """
    if not administers(request):
        raise PermissionDenied


def administers(request: HttpRequest | Request) -> bool:
    """Whether the caller is an administrator of the account: the setting ``ASYNC_EXCHANGE["WEBHOOK_ADMIN"]``."""
    member = member_of(request.user)
    return member is not None and member.is_administrator


def owner_of(request: HttpRequest) -> Owner:
    """To whom an asynchronous call belongs: the setting ``ASYNC_EXCHANGE["OWNER"]``."""
    member = member_of(request.user)
    if member is None:
        # Tasks of a user without an account are that user's alone.
        return Owner(account=f"user-{request.user.pk or 'anonymous'}", id=str(request.user.pk or ""))
    return Owner(account=str(member.account_id), kind=member.kind, id=str(member.pk))
