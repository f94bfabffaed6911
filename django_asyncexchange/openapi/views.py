"""A view of the document of the task addresses: ``path("tasks.openapi.json", openapi.views.document)``."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import get_script_prefix

from . import document as documents


def document(request: HttpRequest) -> JsonResponse:
    """The document, public, as ``application/json``."""
    return JsonResponse(documents.document(request.build_absolute_uri(get_script_prefix()).rstrip("/") or "/"))
