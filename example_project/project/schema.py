"""The OpenAPI document: ``AutoSchema`` of this project, on which the schemas of its APIs are based.

A view says what it responds with on success. What Django REST framework responds before a view is called, because of
the caller, the media types or the throttles, is added here, in the error format of the API.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

LINK = {"type": "string", "format": "uri"}
"""Schema of an absolute URL."""

CHALLENGE = OpenApiParameter(
    "WWW-Authenticate",
    {"type": "string", "enum": ["Bearer"]},
    OpenApiParameter.HEADER,
    description="How to authenticate.",
    required=True,
    response=[401],
)

DESCRIPTIONS = {
    400: "The request is malformed or not valid.",
    401: "There is no token, or it is not valid.",
    403: "The caller is not allowed to do this.",
    404: "There is no such object or format.",
    406: "The response is not available in a media type of `Accept`.",
    415: "The media type of the request body is not supported.",
    429: "Too many requests.",
}


class Detail(serializers.Serializer[Any]):
    detail = serializers.CharField()


class ExampleSchema(AutoSchema):
    """Base class of the schemas of the APIs."""

    api: ClassVar[str]
    """Tag of the operations, and first part of their ids."""
    error_serializer: ClassVar[Any]
    """The error document."""

    def get_tags(self) -> list[str]:
        return [self.api]

    def get_operation_id(self) -> str:
        return f"{self.api}_{super().get_operation_id()}".lower().replace(".", "_")

    def get_description(self) -> str:
        return super().get_description().replace("``", "`")

    def get_summary(self) -> str:
        """The first sentence of the description."""
        return re.split(r"[.:;](?=\s|$)", self.get_description(), maxsplit=1)[0]

    def get_override_parameters(self) -> list[Any]:
        return [CHALLENGE]

    def get_error_statuses(self) -> Iterator[int]:
        """Status codes of errors that any view of the API may respond with."""
        yield from (401, 403, 406)
        if "{" in self.path or self._get_format_parameters():
            yield 404
        if self.method in ("POST", "PUT", "PATCH"):
            yield from (400, 415)
        if self._get_pagination_parameters():
            yield 400
        if self.view.get_throttles():
            yield 429

    def get_error_response(self, status: int) -> OpenApiResponse:
        """The response with one of these codes."""
        return OpenApiResponse(self.error_serializer, description=DESCRIPTIONS[status])

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        for body in bodies.values():
            body["description"] = body["description"] or f"{self.get_summary()}."
        for status in sorted(set(self.get_error_statuses())):
            if str(status) not in bodies:
                error = self.get_error_response(status)
                bodies[str(status)] = self._get_response_for_code(error, str(status), direction=direction)
        return bodies
