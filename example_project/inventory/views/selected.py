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

    class Choice(serializers.Serializer[Any]):
        class Target(serializers.Serializer[Any]):
            class Reference(serializers.Serializer[Any]):
                href = serializers.RegexField(r"/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

            meta = Reference()

        counterparty = Target()

    counterparties = serializers.ListField(child=Choice(), min_length=1, max_length=1000)

    def validate_counterparties(self, value: list[dict[str, Any]]) -> list[UUID]:
        """The ids at the end of each ``counterparty.meta.href``."""
        return [UUID(choice["counterparty"]["meta"]["href"].rpartition("/")[2]) for choice in value]


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
