"""Reports of stock."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema, extend_schema_view

from ..documents import StockByStoreRow, StockRow
from ..models import Product, Stock, Store
from ..mounts import base_of, entity_meta, language_of
from .report import Report

EXPAND = "?expand=supplier"
"""Part of the links in MoySklad's own rows."""


@extend_schema_view(get=extend_schema(responses=StockByStoreRow(many=True)))
class StockByStore(Report):
    """Stock of every product in every store."""

    meta_type = "stockbystore"

    def get_queryset(self) -> QuerySet[Any]:
        # Only ids: an asynchronous report keeps all of them.
        return Product.objects.filter(account=self.account_id).values_list("pk", flat=True)

    def rows(self, batch: Sequence[UUID]) -> list[dict[str, Any]]:
        base, stocks = base_of(self.request), self.stocks_of(batch)
        return [{"meta": entity_meta(base, "product", pk, EXPAND), "stockByStore": stocks[pk]} for pk in batch]

    def stocks_of(self, products: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
        """Product → its figures by store."""
        figures = {
            (product, store): {"stock": stock, "reserve": reserve, "inTransit": in_transit}
            for product, store, stock, reserve, in_transit in Stock.objects.using(self.snapshot)
            .filter(product__in=products)
            .values_list("product_id", "store_id", "stock", "reserve", "in_transit")
        }
        return {
            product: [
                head | figures[product, store] for store, head in self.stores.items() if (product, store) in figures
            ]
            for product in products
        }

    @cached_property
    def stores(self) -> dict[UUID, dict[str, Any]]:
        """Store → its ``meta`` and name in the rows of the report."""
        base, language = base_of(self.request), language_of(self.request)
        return {
            store.pk: {"meta": entity_meta(base, "store", store.pk), "name": store.label(language)}
            for store in Store.objects.using(self.snapshot).filter(account=self.account_id)
        }


@extend_schema_view(get=extend_schema(responses=StockRow(many=True)))
class StockAll(Report):
    """Stock of every product, summed over all stores."""

    meta_type = "stock"

    def get_queryset(self) -> QuerySet[Any]:
        return Product.objects.filter(account=self.account_id).annotate(
            in_stock=Coalesce(Sum("stocks__stock"), 0),
            reserved=Coalesce(Sum("stocks__reserve"), 0),
            coming=Coalesce(Sum("stocks__in_transit"), 0),
        )

    def rows(self, batch: Sequence[Any]) -> list[dict[str, Any]]:
        base, language = base_of(self.request), language_of(self.request)
        return [
            {
                "meta": entity_meta(base, "product", product.pk, EXPAND),
                "stock": product.in_stock,
                "inTransit": product.coming,
                "reserve": product.reserved,
                "quantity": product.in_stock - product.reserved + product.coming,
                "name": product.label(language),
                "code": product.code,
                "price": product.cost,
                "salePrice": product.price,
            }
            for product in batch
        ]
