"""Authentication by bearer token, accounts and permissions."""

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
    """The digest that is stored instead of a token. Real tokens are long and random, so a fast hash is sufficient."""
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
    """The member of ``user``; None for anonymous users and for users of the admin site only."""
    return getattr(user, "member", None)


class IsMember(BasePermission):
    """Allows members of any account."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return member_of(request.user) is not None


def require_administrator(request: Request) -> None:
    """Raise PermissionDenied (code 1016) unless the caller is an administrator of the account.

    Views call it, instead of a permission class, so that an asynchronous call is accepted and ends in API_ERROR.
    """
    if not administers(request):
        raise PermissionDenied


def administers(request: HttpRequest | Request) -> bool:
    """Whether the caller is an administrator of the account: the setting ``ASYNC_EXCHANGE["WEBHOOK_ADMIN"]``."""
    member = member_of(request.user)
    return member is not None and member.is_administrator


def owner_of(request: HttpRequest) -> Owner:
    """The owner of an asynchronous call: the setting ``ASYNC_EXCHANGE["OWNER"]``."""
    member = member_of(request.user)
    if member is None:
        # A user without an account has an account of its own.
        return Owner(account=f"user-{request.user.pk or 'anonymous'}", id=str(request.user.pk or ""))
    return Owner(account=str(member.account_id), kind=member.kind, id=str(member.pk))
