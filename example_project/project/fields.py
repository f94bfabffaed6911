"""Serializer fields that accept a JSON value only in its own type, so that the OpenAPI document can name that type.

Fields of Django REST framework also accept, for example, ``1`` as a string and ``"on"`` as a boolean. Forms and XML
have texts only: there, ``true``, ``false`` and the digits of a number are accepted.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.utils.html import is_html_input


def is_text(field: Field[Any, Any, Any, Any], data: Any) -> bool:
    """Whether ``data`` is a text of a form or of XML."""
    return isinstance(data, str) and is_html_input(getattr(field.parent, "initial_data", None))


class StrictCharField(serializers.CharField):
    """A string, with the whitespace around it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False} | kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """``true`` or ``false``."""

    def to_internal_value(self, data: Any) -> bool:
        if isinstance(data, bool) or (is_text(self, data) and data in ("true", "false")):
            return data in (True, "true")
        self.fail("invalid", input=data)


class StrictIntegerField(serializers.IntegerField):
    """A number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        is_number = isinstance(data, (int, float)) and not isinstance(data, bool)
        if not is_number and not is_text(self, data):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictModelSerializer(serializers.ModelSerializer[Any]):
    """``ModelSerializer`` with the fields of this module."""

    serializer_field_mapping: ClassVar[dict[type[models.Field[Any, Any]], type[Field[Any, Any, Any, Any]]]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BooleanField: StrictBooleanField,
        models.CharField: StrictCharField,
        models.PositiveIntegerField: StrictIntegerField,
    }
