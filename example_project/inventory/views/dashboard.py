"""Dashboard: figures of the last day, week or month."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Sum
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, permission_classes, schema
from rest_framework.request import Request
from rest_framework.response import Response

from django_asyncexchange.decorators import allow_async

from ..access import IsMember
from ..delay import delay
from ..documents import Dashboard
from ..models import Sale
from ..mounts import document
from ..schema import PERIOD, RemapSchema

PERIODS = {"day": dt.timedelta(days=1), "week": dt.timedelta(days=7), "month": dt.timedelta(days=30)}


@allow_async
@extend_schema(parameters=[PERIOD], responses=Dashboard)
@api_view(["GET"])
@permission_classes([IsMember])
@schema(RemapSchema())
def dashboard(request: Request, period: str) -> Response:
    """Sales and money of the last day, week or month."""
    if period not in PERIODS:
        raise Http404
    delay()
    return Response(document(request, "dashboard", **figures(request.user.member.account_id, PERIODS[period])))


def figures(account_id: UUID, period: dt.timedelta) -> dict[str, Any]:
    """The sums of ``period``, which ends with the last sale, because the sample data is not current."""
    sales = Sale.objects.filter(account=account_id)
    last = sales.aggregate(last=Max("moment"))["last"]
    recent = sales.filter(moment__gt=last - period) if last else sales.none()
    sums = recent.aggregate(count=Count("pk"), amount=Sum("amount"), cost_amount=Sum("cost_amount"))
    income, outcome = sums["amount"] or 0, sums["cost_amount"] or 0
    return {
        "sales": {"count": sums["count"], "amount": income},
        "money": {"income": income, "outcome": outcome, "balance": income - outcome},
    }
