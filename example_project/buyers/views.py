"""Create, read and update buyers. No view is marked: the Solitude dialect makes every view callable asynchronously."""

from __future__ import annotations

from rest_framework import mixins
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.viewsets import GenericViewSet

from .models import Buyer
from .serializer import BuyerSerializer


class BuyerPagination(LimitOffsetPagination):
    default_limit = 20
    max_limit = 1000


class BuyerViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    GenericViewSet,
):
    queryset = Buyer.objects.order_by("pk")
    serializer_class = BuyerSerializer
    pagination_class = BuyerPagination
