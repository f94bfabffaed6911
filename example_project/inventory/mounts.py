"""The two mounts of this API, which differ only in URL and language."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import get_language_from_request
from rest_framework.request import Request

LANGUAGES = {"moysklad": "ru", "kladana": "en"}
"""Namespace of a mount → its language."""

PREFIXES = {"/api/remap/1.2/": "moysklad", "/kladana/api/remap/1.2/": "kladana"}
"""URL prefix of a mount → its namespace, for URLs that do not resolve."""


def namespace_of(request: HttpRequest | Request) -> str | None:
    """The namespace of the mount that ``request`` belongs to, or None."""
    if request.resolver_match is not None:
        return request.resolver_match.namespace if request.resolver_match.namespace in LANGUAGES else None
    return next((name for prefix, name in PREFIXES.items() if request.path_info.startswith(prefix)), None)


def language_of(request: HttpRequest | Request) -> str:
    """The language from ``Accept-Language``, else the mount's."""
    if request.headers.get("Accept-Language", "*") != "*":
        return get_language_from_request(request)
    return LANGUAGES.get(namespace_of(request) or "", "en")


def base_of(request: Request) -> str:
    """Absolute URL of the mount, without a trailing slash."""
    return request.build_absolute_uri(reverse(f"{namespace_of(request)}:me").removesuffix("/context/employee"))


def href_of(request: Request) -> str:
    """Absolute URL of the request; for an asynchronous call the URL as it was submitted."""
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
    """The envelope of every report and list: ``context``, ``meta`` and ``parts``."""
    employee = {"href": f"{base_of(request)}/context/employee", "type": "employee", "mediaType": "application/json"}
    meta = {"href": href_of(request), "type": kind, "mediaType": "application/json"}
    return {"context": {"employee": employee}, "meta": meta, **parts}
