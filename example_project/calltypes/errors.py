"""Error responses in Cisco's format: a list of ``apiError``, in XML inside ``apiErrors``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler

TYPES = {
    "required": "invalidInput.fieldRequired",
    "null": "invalidInput.fieldRequired",
    "blank": "invalidInput.fieldRequired",
    "min_value": "invalidInput.outOfRange",
    "max_value": "invalidInput.outOfRange",
    "max_string_length": "invalidInput.outOfRange",
    "max_length": "invalidInput.tooLong",
    "unique": "invalidInput.duplicateName",
    "parse_error": "invalidInput.malformed",
    "unsupported_media_type": "invalidInput.mediaType",
    "not_acceptable": "invalidInput.notAcceptable",
    "method_not_allowed": "invalidInput.methodNotAllowed",
    "not_found": "invalidInput.notFound",
    "not_authenticated": "access.unauthorized",
    "authentication_failed": "access.unauthorized",
    "permission_denied": "access.forbidden",
}
"""DRF error code → ``errorType``."""


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF exception handler with Cisco's format."""
    response = rest_framework_handler(error, context)
    if response is not None:
        response.data = {"apiError": list(api_errors(response.data))}
    return response


def api_errors(data: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield one ``apiError`` for each error of a field or of the whole request."""
    for field, details in data.items():
        for detail in details if isinstance(details, list) else [details]:
            yield {
                "errorData": "" if field in ("detail", "non_field_errors") else field,
                "errorMessage": str(detail),
                "errorType": TYPES.get(detail.code, "invalidInput.invalidValue"),
            }
