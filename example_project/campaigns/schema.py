"""Campaigns in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from project.schema import Detail, ExampleSchema

from .serializer import CampaignSerializer

INVALID = OpenApiResponse(
    {"type": "object", "additionalProperties": {"type": "string"}},
    description="The body cannot be parsed (`detail`), or fields are not valid: field → message.",
)

RATE_LIMIT = OpenApiParameter(
    "X-RateLimit-Limit",
    {"type": "integer"},
    OpenApiParameter.HEADER,
    description="How many requests are allowed in a minute.",
    required=True,
    response=[200, 400, 401, 403, 406, 415, 429],
)


class PackageFieldExtension(OpenApiSerializerFieldExtension):
    """Either format in requests, the number in responses."""

    target_class = "campaigns.serializer.PackageField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        number: dict[str, Any] = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if direction == "response":
            return number
        in_object = {"type": "object", "required": ["id"], "properties": {"id": dict(number)}}
        return {"oneOf": [number, in_object]}


class CampaignSchema(ExampleSchema):
    """Schema of campaigns. Every response of the view has the rate limit; a 404 may be that of an unknown URL."""

    api = "mailru"
    error_serializer = Detail

    def get_override_parameters(self) -> list[Any]:
        return [*super().get_override_parameters(), RATE_LIMIT]

    def get_error_response(self, status: int) -> OpenApiResponse:
        return INVALID if status == 400 else super().get_error_response(status)

    def get_paginated_name(self, serializer_name: str) -> str:
        return f"{serializer_name}Page"


described = extend_schema_view(
    list=extend_schema(operation_id="mailru_campaigns_list", description="The caller's campaigns."),
    create=extend_schema(
        operation_id="mailru_campaigns_create", description="Create a campaign.", responses={200: CampaignSerializer}
    ),
    retrieve=extend_schema(operation_id="mailru_campaigns_retrieve", description="A campaign of the caller."),
    partial_update=extend_schema(
        operation_id="mailru_campaigns_update",
        description="Change some fields of a campaign.",
        request=CampaignSerializer(partial=True),
        responses={200: CampaignSerializer},
    ),
)


def page_schema(items: dict[str, Any]) -> dict[str, Any]:
    """Schema of a page of ``items``."""
    return {
        "type": "object",
        "required": ["count", "offset", "items"],
        "properties": {
            "count": {"type": "integer", "description": "How many there are on all pages."},
            "offset": {"type": "integer"},
            "items": items,
        },
    }
