"""Sales and money over time."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncMonth
from rest_framework.request import Request
from rest_framework.response import Response

from ..dates import read_date, wire_date
from ..errors import RemapError
from ..models import Sale
from ..mounts import document
from ..pace import portions
from .report import AccountView

INTERVALS = {"hour": TruncHour, "day": TruncDay, "month": TruncMonth}


def parameter(request: Request, name: str) -> str:
    """A parameter that the report cannot do without."""
    if not request.query_params.get(name):
        raise RemapError(39000, parameter=name)
    return request.query_params[name]


def moment(request: Request, name: str) -> dt.datetime:
    """A parameter that is a date, with or without a time."""
    try:
        return read_date(parameter(request, name))
    except ValueError:
        raise RemapError(1035, status=400, parameter=name) from None


def interval(request: Request) -> Any:
    """The parameter that says how wide a point of the series is."""
    name = parameter(request, "interval")
    if name not in INTERVALS:
        raise RemapError(1084, status=400, parameter="interval", allowed=", ".join(INTERVALS))
    return INTERVALS[name]


class Series(AccountView):
    """Points in time, an ``interval`` apart, from ``momentFrom`` to ``momentTo``; one without sales is left out."""

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
            for portion in portions(points, of=len(points))
            for point in portion
        ]
        return Response(document(request, self.meta_type, series=series))

    def figures(self, point: dict[str, Any]) -> dict[str, int]:
        raise NotImplementedError


class SalesSeries(Series):
    """How much was sold."""

    meta_type = "salesplotseries"

    def figures(self, point: dict[str, Any]) -> dict[str, int]:
        return {"quantity": point["count"], "sum": point["amount"]}


class MoneySeries(Series):
    """What came in and what went out."""

    meta_type = "moneyplotseries"

    def figures(self, point: dict[str, Any]) -> dict[str, int]:
        return {
            "credit": point["amount"],
            "debit": point["cost_amount"],
            "balance": point["amount"] - point["cost_amount"],
        }
