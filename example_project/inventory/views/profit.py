"""Report of profit by product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet, Sum
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ..access import require_administrator
from ..documents import ProfitRow
from ..models import Product
from ..mounts import base_of, entity_meta, language_of
from .report import Report


class ProfitByProduct(Report):
    """Profit of every product that was sold; administrators only."""

    meta_type = "profitbyproduct"

    @extend_schema(responses=ProfitRow(many=True))
    def get(self, request: Request) -> Response:
        require_administrator(request)
        return self.respond()

    def get_queryset(self) -> QuerySet[Any]:
        sold = Product.objects.filter(account=self.account_id, sales__isnull=False)
        return sold.annotate(
            quantity=Sum("sales__quantity"), amount=Sum("sales__amount"), cost_amount=Sum("sales__cost_amount")
        )

    def rows(self, batch: Sequence[Any]) -> list[dict[str, Any]]:
        base, language = base_of(self.request), language_of(self.request)
        return [
            {
                "assortment": {
                    "meta": entity_meta(base, "product", product.pk),
                    "name": product.label(language),
                    "code": product.code,
                },
                "sellQuantity": product.quantity,
                "sellSum": product.amount,
                "sellCostSum": product.cost_amount,
                "profit": product.amount - product.cost_amount,
                "margin": round((product.amount - product.cost_amount) / product.cost_amount, 4),
            }
            for product in batch
        ]
