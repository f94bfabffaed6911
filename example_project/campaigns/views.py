"""Create, list, read and update campaigns. Callers see only their own campaigns, and are throttled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from project.pagination import StrictLimitOffsetPagination

from .errors import exception_handler
from .models import Campaign
from .schema import CampaignSchema, described, page_schema
from .serializer import CampaignSerializer
from .throttle import CampaignThrottle


class CampaignPagination(StrictLimitOffsetPagination):
    default_limit = 20
    max_limit = 250

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"count": self.count, "offset": self.offset, "items": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema)


@described
class CampaignViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    GenericViewSet,
):
    async_exchange = True
    serializer_class = CampaignSerializer
    pagination_class = CampaignPagination
    parser_classes = [JSONParser]
    schema = CampaignSchema()
    throttle_classes = [CampaignThrottle]

    def get_queryset(self) -> QuerySet[Campaign]:
        return Campaign.objects.filter(owner=self.request.user.pk).order_by("pk")

    def perform_create(self, serializer: BaseSerializer[Campaign]) -> None:
        serializer.save(owner=self.request.user)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Respond with 200 instead of 201, as the vendor's API and its clients expect."""
        created = super().create(request, *args, **kwargs)
        return Response(created.data)

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return exception_handler

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Every response, errors included, has the rate limit."""
        return super().default_response_headers | {"X-RateLimit-Limit": str(CampaignThrottle().num_requests)}
