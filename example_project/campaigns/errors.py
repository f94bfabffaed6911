"""Errors as Target@Mail.Ru words them: one text per field."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler, with the first text of each field alone."""
    response = rest_framework_handler(error, context)
    if response is not None:
        response.data = {
            field: texts[0] if isinstance(texts, list) else texts for field, texts in response.data.items()
        }
    return response
