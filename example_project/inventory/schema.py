"""The inventory in the OpenAPI document: its schema class and its parameters."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from project.schema import ExampleSchema

from .documents import Context, PageLink, RemapErrors

MOMENT = {"type": "string", "format": "remap-moment"}
"""Schema of dates: ``2024-01-31 12:00:00``."""


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "inventory.access.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "`token-anna`, for example: see the front page."}


class RemapSchema(ExampleSchema):
    """Schema of the views of both mounts."""

    error_serializer = RemapErrors

    @property
    def api(self) -> str:  # type: ignore[override]
        return "kladana" if self.path.startswith("/kladana/") else "moysklad"

    def get_operation(self, *args: Any, **options: Any) -> Any:
        operation = super().get_operation(*args, **options)
        for referenced in (Context, PageLink):  # by page_schema
            self.resolve_serializer(referenced, "response")
        return operation

    def get_paginated_name(self, serializer_name: str) -> str:
        return f"{serializer_name}Page"


def page_schema(rows: dict[str, Any]) -> dict[str, Any]:
    """Schema of a page, or of a whole collection, with ``rows``."""
    return {
        "type": "object",
        "required": ["context", "meta", "rows"],
        "properties": {
            "context": {"$ref": "#/components/schemas/Context"},
            "meta": {"$ref": "#/components/schemas/PageLink"},
            "rows": rows,
        },
    }


SERIES_PARAMETERS = [
    OpenApiParameter(
        name, MOMENT, required=True, description=f"{end} of the period, with or without a time: `2024-01-31 12:00:00`."
    )
    for name, end in (("momentFrom", "Start"), ("momentTo", "End"))
] + [
    OpenApiParameter(
        "interval",
        {"type": "string", "enum": ["hour", "day", "month"]},
        required=True,
        description="The distance of two points.",
    )
]

SERIES_ERRORS = {
    400: OpenApiResponse(RemapErrors, description="A parameter is not valid."),
    412: OpenApiResponse(RemapErrors, description="A required parameter is missing."),
}

PERIOD = OpenApiParameter(
    "period",
    {"type": "string", "enum": ["day", "week", "month"]},
    OpenApiParameter.PATH,
    description="The period, up to the last sale.",
)
