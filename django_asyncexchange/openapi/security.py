"""Security schemes of the task addresses: whoever may submit a call may poll it, with the same credentials."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication

from ..conf import conf
from ..endpoints import authentication
from ..intake import ninja

HTTP_SCHEMES = ("basic", "bearer", "digest")


def schemes() -> dict[str, dict[str, Any]]:
    """Name → security scheme object: of the project's authentication classes by their challenges, and of Ninja."""
    found: dict[str, dict[str, Any]] = {}
    for each in of_rest_framework():
        name, scheme = _scheme(each)
        found.setdefault(name, scheme)
    return {**found, **of_ninja()}


def of_rest_framework() -> list[Any]:
    """The authenticators of the task addresses; the user of Django's middleware is that of a session."""
    return [
        SessionAuthentication() if isinstance(each, SessionAuthentication) else each
        for each in authentication.authenticators()
        if not isinstance(each, ninja.KeyAuthentication)
    ]


def of_ninja() -> dict[str, dict[str, Any]]:
    """The schemes of Django Ninja's authenticators, as it describes them."""
    stated = ((type(each).__name__, getattr(each, "openapi_security_schema", None)) for each in ninja.authenticators())
    return {name: dict(scheme) for name, scheme in stated if scheme}


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
