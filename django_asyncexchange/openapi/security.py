"""Security schemes of the task addresses: whoever may submit a call may poll it, with the same credentials."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication

from ..conf import conf
from ..endpoints import authentication

HTTP_SCHEMES = ("basic", "bearer", "digest")


def schemes() -> dict[str, dict[str, Any]]:
    """Name → security scheme object, by the challenges of the project's authentication classes."""
    found: dict[str, dict[str, Any]] = {}
    for each in authentication.authenticators():
        name, scheme = _scheme(each)
        found.setdefault(name, scheme)
    return found


def _scheme(authenticator: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(authenticator, SessionAuthentication):
        return "cookieAuth", {"type": "apiKey", "in": "cookie", "name": conf.project("SESSION_COOKIE_NAME")}
    try:
        challenge = authenticator.authenticate_header(HttpRequest()) or ""
    except Exception:  # it needs more of a request
        challenge = ""
    word = re.split(r"[ ,]", challenge.strip())[0]
    if word.lower() in HTTP_SCHEMES:
        return f"{word.lower()}Auth", {"type": "http", "scheme": word.lower()}
    name = "tokenAuth" if word else type(authenticator).__name__
    return name, {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": f"`{word} …`" if word else f"As {type(authenticator).__name__} reads it.",
    }


def requirements(names: Any) -> list[dict[str, list[str]]]:
    """Any of the schemes ``names``; none at all with ``ALLOW_ANONYMOUS``."""
    found: list[dict[str, list[str]]] = [{name: []} for name in names]
    return [*found, {}] if conf.ALLOW_ANONYMOUS else found
