"""Report of sales by counterparty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Max, Min, QuerySet, Sum
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema, extend_schema_view

from ..dates import wire_date
from ..documents import CounterpartyFigures
from ..models import Counterparty
from ..mounts import base_of, entity_meta, language_of
from .report import Report


def with_figures(counterparties: QuerySet[Counterparty]) -> QuerySet[Any]:
    """Annotate ``counterparties`` with their sales figures."""
    return counterparties.annotate(
        count=Count("sales"),
        amount=Coalesce(Sum("sales__amount"), 0),
        cost_amount=Coalesce(Sum("sales__cost_amount"), 0),
        first=Min("sales__moment"),
        last=Max("sales__moment"),
    )


def figures_row(counterparty: Any, base: str, language: str) -> dict[str, Any]:
    """One row of the report."""
    return {
        "meta": {
            "href": f"{base}/report/counterparty/{counterparty.pk}",
            "type": "counterparty",
            "mediaType": "application/json",
        },
        "counterparty": {
            "meta": entity_meta(base, "counterparty", counterparty.pk),
            "id": str(counterparty.pk),
            "name": counterparty.label(language),
        },
        "firstDemandDate": counterparty.first and wire_date(counterparty.first),
        "lastDemandDate": counterparty.last and wire_date(counterparty.last),
        "demandsCount": counterparty.count,
        "demandsSum": counterparty.amount,
        "averageReceipt": counterparty.amount // counterparty.count if counterparty.count else 0,
        "profit": counterparty.amount - counterparty.cost_amount,
    }


@extend_schema_view(get=extend_schema(responses=CounterpartyFigures(many=True)))
class CounterpartyReport(Report):
    """Sales figures of every counterparty."""

    meta_type = "counterparty"

    def get_queryset(self) -> QuerySet[Any]:
        return with_figures(Counterparty.objects.filter(account=self.account_id))

    def rows(self, batch: Sequence[Any]) -> list[dict[str, Any]]:
        base, language = base_of(self.request), language_of(self.request)
        return [figures_row(counterparty, base, language) for counterparty in batch]
