"""Pagination by ``limit`` and ``offset`` that rejects what is not a number, instead of ignoring it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

LAST = 2**31 - 1
"""Greatest ``limit`` and ``offset``: databases do not accept any number."""


class StrictLimitOffsetPagination(LimitOffsetPagination):
    """``LimitOffsetPagination``; a ``limit`` above ``max_limit`` is ``max_limit``."""

    def get_limit(self, request: Request) -> int | None:
        self.number_of(request, self.limit_query_param, 1)
        return super().get_limit(request)

    def get_offset(self, request: Request) -> int:
        self.number_of(request, self.offset_query_param, 0)
        return super().get_offset(request)

    def number_of(self, request: Request, name: str, lowest: int) -> None:
        """Raise ValidationError if the parameter is not a number from ``lowest`` to ``LAST``."""
        if name not in request.query_params:
            return
        try:
            serializers.IntegerField(min_value=lowest, max_value=LAST).run_validation(request.query_params[name])
        except ValidationError as error:
            raise ValidationError({name: error.detail}) from None

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": self.limit_query_param,
                "in": "query",
                "description": f"How many rows to return; at most {self.max_limit}.",
                "schema": {"type": "integer", "minimum": 1, "maximum": LAST, "default": self.default_limit},
            },
            {
                "name": self.offset_query_param,
                "in": "query",
                "description": "How many rows to skip.",
                "schema": {"type": "integer", "minimum": 0, "maximum": LAST, "default": 0},
            },
        ]
