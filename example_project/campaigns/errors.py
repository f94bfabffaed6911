"""Error responses in Target@Mail.Ru's format: one message per field."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF exception handler that keeps only the first message of each field."""
    response = rest_framework_handler(error, context)
    if response is not None:
        response.data = {
            field: texts[0] if isinstance(texts, list) else texts for field, texts in response.data.items()
        }
    return response
