"""Where a request arrived: the two mounts of this API differ in their address and their language only."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import get_language_from_request
from rest_framework.request import Request

LANGUAGES = {"moysklad": "ru", "kladana": "en"}
"""Namespace of a mount → its language."""

PREFIXES = {"/api/remap/1.2/": "moysklad", "/kladana/api/remap/1.2/": "kladana"}
"""Address of a mount → its namespace, for addresses below it that do not resolve."""


def namespace_of(request: HttpRequest | Request) -> str | None:
    """The mount below which ``request`` arrived, or None."""
    if request.resolver_match is not None:
        return request.resolver_match.namespace if request.resolver_match.namespace in LANGUAGES else None
    return next((name for prefix, name in PREFIXES.items() if request.path_info.startswith(prefix)), None)


def language_of(request: HttpRequest | Request) -> str:
    """The language that the caller asks for, else the mount's."""
    if request.headers.get("Accept-Language", "*") != "*":
        return get_language_from_request(request)
    return LANGUAGES.get(namespace_of(request) or "", "en")


def base_of(request: Request) -> str:
    """Absolute address of the mount, without a trailing slash."""
    return request.build_absolute_uri(reverse(f"{namespace_of(request)}:me").removesuffix("/context/employee"))


def href_of(request: Request) -> str:
    """Absolute address of the request itself; of a deferred one, as it was submitted."""
    return request.async_task.url if request.async_task else request.build_absolute_uri()


def entity_meta(base: str, kind: str, pk: Any, suffix: str = "") -> dict[str, str]:
    """The ``meta`` of one entity."""
    return {
        "href": f"{base}/entity/{kind}/{pk}{suffix}",
        "metadataHref": f"{base}/entity/{kind}/metadata",
        "type": kind,
        "mediaType": "application/json",
    }


def document(request: Request, kind: str, **parts: Any) -> dict[str, Any]:
    """The frame of every report and list: who asks, what this is, and its ``parts``."""
    employee = {"href": f"{base_of(request)}/context/employee", "type": "employee", "mediaType": "application/json"}
    meta = {"href": href_of(request), "type": kind, "mediaType": "application/json"}
    return {"context": {"employee": employee}, "meta": meta, **parts}
