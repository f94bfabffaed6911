"""Call types in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers

from project.schema import LINK, ExampleSchema

from .serializer import CallTypeSerializer


class ApiError(serializers.Serializer[Any]):
    errorData = serializers.CharField(help_text="The field; empty for the whole request.")  # noqa: N815
    errorMessage = serializers.CharField()  # noqa: N815
    errorType = serializers.CharField(help_text="The kind of error, `invalidInput.outOfRange` for example.")  # noqa: N815


class ApiErrors(serializers.Serializer[Any]):
    apiError = ApiError(many=True)  # noqa: N815


@extend_schema_serializer(many=False)
class CallTypes(serializers.Serializer[Any]):
    callType = CallTypeSerializer(many=True)  # noqa: N815


ROOTS = {ApiErrors: "apiErrors", CallTypes: "callTypes", CallTypeSerializer: "callType"}
"""Serializer → name of the root element in XML."""


class RootExtension(OpenApiSerializerExtension):
    """Names the root elements."""

    target_class = serializers.Serializer
    match_subclasses = True

    @classmethod
    def _matches(cls, target: Any) -> bool:
        return (target if isinstance(target, type) else type(target)) in ROOTS

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"xml": {"name": ROOTS[type(self.target)]}}


class CallTypeSchema(ExampleSchema):
    """Schema of call types."""

    api = "cisco"
    error_serializer = ApiErrors


described = extend_schema_view(
    list=extend_schema(description="All call types.", responses=CallTypes),
    create=extend_schema(
        description="Create a call type.",
        parameters=[
            OpenApiParameter(
                "Location",
                LINK,
                OpenApiParameter.HEADER,
                description="The new call type.",
                required=True,
                response=[201],
            )
        ],
        responses={201: OpenApiResponse(description="Created.")},
    ),
    retrieve=extend_schema(description="A call type."),
    update=extend_schema(description="Change a call type.", responses={200: OpenApiResponse(description="Changed.")}),
    destroy=extend_schema(description="Delete a call type.", responses={200: OpenApiResponse(description="Deleted.")}),
)
