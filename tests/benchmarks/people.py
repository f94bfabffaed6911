"""Users."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from .door import TOKEN


def anna() -> User:
    user, _ = User.objects.get_or_create(username="anna")
    Token.objects.get_or_create(user=user, key=TOKEN)
    return user


def crowd(size: int) -> list[str]:
    """The tokens of new users, as many as ``size``."""
    known = User.objects.count()
    users = User.objects.bulk_create([User(username=f"user {known + number}") for number in range(size)])
    tokens = Token.objects.bulk_create([Token(user=user, key=f"token-{user.pk}") for user in users])
    return [token.key for token in tokens]
