"""Time series of sales and money."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncMonth
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from ..dates import read_date, wire_date
from ..delay import batches
from ..documents import MoneySeriesDocument, SalesSeriesDocument
from ..errors import RemapError
from ..models import Sale
from ..mounts import document
from ..schema import SERIES_ERRORS, SERIES_PARAMETERS
from .report import AccountView

INTERVALS = {"hour": TruncHour, "day": TruncDay, "month": TruncMonth}


def parameter(request: Request, name: str) -> str:
    """A required parameter."""
    if not request.query_params.get(name):
        raise RemapError(39000, parameter=name)
    return request.query_params[name]


def moment(request: Request, name: str) -> dt.datetime:
    """A required parameter that is a date, with or without a time."""
    try:
        return read_date(parameter(request, name))
    except ValueError:
        raise RemapError(1035, status=400, parameter=name) from None


def interval(request: Request) -> Any:
    """The ``interval`` parameter as a truncation function."""
    name = parameter(request, "interval")
    if name not in INTERVALS:
        raise RemapError(1084, status=400, parameter="interval", allowed=", ".join(INTERVALS))
    return INTERVALS[name]


@extend_schema_view(get=extend_schema(parameters=SERIES_PARAMETERS))
class Series(AccountView):
    """A point for each ``interval`` from ``momentFrom`` to ``momentTo`` that has sales."""

    async_exchange = True
    meta_type: str

    def get(self, request: Request) -> Response:
        start, end, trunc = moment(request, "momentFrom"), moment(request, "momentTo"), interval(request)
        points = list(
            Sale.objects.filter(account=self.account_id, moment__gte=start, moment__lte=end)
            .annotate(point=trunc("moment"))
            .values("point")
            .annotate(count=Count("pk"), amount=Sum("amount"), cost_amount=Sum("cost_amount"))
            .order_by("point")
        )
        series = [
            {"date": wire_date(point["point"]), **self.figures(point)}
            for batch in batches(points, of=len(points))
            for point in batch
        ]
        return Response(document(request, self.meta_type, series=series))

    def figures(self, point: dict[str, Any]) -> dict[str, int]:
        raise NotImplementedError


@extend_schema_view(get=extend_schema(responses={200: SalesSeriesDocument} | SERIES_ERRORS))
class SalesSeries(Series):
    """Quantity and sum of sales in each interval that has any."""

    meta_type = "salesplotseries"

    def figures(self, point: dict[str, Any]) -> dict[str, int]:
        return {"quantity": point["count"], "sum": point["amount"]}


@extend_schema_view(get=extend_schema(responses={200: MoneySeriesDocument} | SERIES_ERRORS))
class MoneySeries(Series):
    """Credit, debit and balance in each interval that has sales."""

    meta_type = "moneyplotseries"

    def figures(self, point: dict[str, Any]) -> dict[str, int]:
        return {
            "credit": point["amount"],
            "debit": point["cost_amount"],
            "balance": point["amount"] - point["cost_amount"],
        }
