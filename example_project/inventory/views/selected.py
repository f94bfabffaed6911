"""Figures of selected counterparties: a short call that is never asynchronous (S002-4)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view, parser_classes, permission_classes, schema
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from django_asyncexchange.decorators import never_async

from ..access import IsMember
from ..documents import SelectedFigures
from ..models import Counterparty
from ..mounts import base_of, document, language_of
from ..schema import RemapSchema
from .counterparties import figures_row, with_figures


class SelectionSerializer(serializers.Serializer[Any]):
    """``{"counterparties": [{"counterparty": {"meta": {"href": …}}}, …]}``."""

    counterparties = serializers.ListField(child=serializers.DictField(), min_length=1, max_length=1000)

    def validate_counterparties(self, value: list[dict[str, Any]]) -> list[UUID]:
        return [self.id_of(choice) for choice in value]

    def id_of(self, choice: dict[str, Any]) -> UUID:
        """The id at the end of ``counterparty.meta.href``."""
        try:
            return UUID(choice["counterparty"]["meta"]["href"].rpartition("/")[2])
        except (KeyError, TypeError, AttributeError, ValueError):
            raise serializers.ValidationError("counterparty.meta.href is needed.") from None


@never_async
@extend_schema(request=SelectionSerializer, responses=SelectedFigures)
@api_view(["POST"])
@parser_classes([JSONParser])
@permission_classes([IsMember])
@schema(RemapSchema())
def selected_counterparties(request: Request) -> Response:
    """Rows of the counterparty report for the counterparties in the body."""
    selection = SelectionSerializer(data=request.data)
    selection.is_valid(raise_exception=True)
    chosen = Counterparty.objects.filter(
        account=request.user.member.account_id, pk__in=selection.validated_data["counterparties"]
    )
    base, language = base_of(request), language_of(request)
    rows = [figures_row(counterparty, base, language) for counterparty in with_figures(chosen)]
    return Response(document(request, "counterparty", rows=rows))
