"""Buyers in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view

from project.schema import Detail, ExampleSchema

INVALID = OpenApiResponse(
    {
        "type": "object",
        "properties": {"detail": {"type": "string"}},
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    },
    description="The body cannot be parsed (`detail`), or fields are not valid: field → messages.",
)


class BuyerSchema(ExampleSchema):
    """Schema of buyers: the error documents of Django REST framework."""

    api = "solitude"
    error_serializer = Detail

    def get_error_response(self, status: int) -> OpenApiResponse:
        return INVALID if status == 400 else super().get_error_response(status)

    def get_paginated_name(self, serializer_name: str) -> str:
        return f"{serializer_name}Page"


def page_schema(results: dict[str, Any]) -> dict[str, Any]:
    """Schema of a page of ``results``."""
    link = {"type": ["string", "null"], "format": "uri"}
    return {
        "type": "object",
        "required": ["count", "next", "previous", "results"],
        "properties": {
            "count": {"type": "integer", "description": "How many there are on all pages."},
            "next": link,
            "previous": link,
            "results": results,
        },
    }


described = extend_schema_view(
    list=extend_schema(description="All buyers."),
    create=extend_schema(description="Create a buyer."),
    retrieve=extend_schema(description="A buyer."),
    update=extend_schema(description="Replace a buyer."),
    partial_update=extend_schema(description="Change some fields of a buyer."),
)
