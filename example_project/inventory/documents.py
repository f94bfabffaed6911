"""The documents of the inventory, for OpenAPI: the views build them as dictionaries."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Link(serializers.Serializer[Any]):
    href = serializers.URLField()
    type = serializers.CharField()
    mediaType = serializers.CharField()  # noqa: N815  (the name on the wire)


class PageLink(Link):
    """The document itself. ``size``, ``limit`` and ``offset`` are those of a page; see ``limit``."""

    size = serializers.IntegerField(required=False, min_value=0)
    limit = serializers.IntegerField(required=False, min_value=1)
    offset = serializers.IntegerField(required=False, min_value=0)


class EntityLink(Link):
    metadataHref = serializers.URLField()  # noqa: N815


class Context(serializers.Serializer[Any]):
    employee = Link()


class RemapErrorItem(serializers.Serializer[Any]):
    error = serializers.CharField(help_text="The message, in the language of the request.")
    code = serializers.IntegerField(help_text="The kind of error.")


class RemapErrors(serializers.Serializer[Any]):
    errors = RemapErrorItem(many=True)


class MetadataDocument(serializers.Serializer[Any]):
    class Target(serializers.Serializer[Any]):
        href = serializers.URLField()
        mediaType = serializers.CharField()  # noqa: N815

    meta = Target()
    attributes = serializers.ListField(child=serializers.DictField(), max_length=0)


class StoreStock(serializers.Serializer[Any]):
    meta = EntityLink()
    name = serializers.CharField()
    stock = serializers.IntegerField(help_text="Negative if it was sold before it arrived.")
    reserve = serializers.IntegerField()
    inTransit = serializers.IntegerField()  # noqa: N815


class StockByStoreRow(serializers.Serializer[Any]):
    meta = EntityLink()
    stockByStore = StoreStock(many=True)  # noqa: N815


class StockRow(serializers.Serializer[Any]):
    meta = EntityLink()
    stock = serializers.IntegerField()
    inTransit = serializers.IntegerField()  # noqa: N815
    reserve = serializers.IntegerField()
    quantity = serializers.IntegerField()
    name = serializers.CharField()
    code = serializers.CharField()
    price = serializers.IntegerField(help_text="Kopecks.")
    salePrice = serializers.IntegerField(help_text="Kopecks.")  # noqa: N815


class ProfitRow(serializers.Serializer[Any]):
    class Assortment(serializers.Serializer[Any]):
        meta = EntityLink()
        name = serializers.CharField()
        code = serializers.CharField()

    assortment = Assortment()
    sellQuantity = serializers.IntegerField()  # noqa: N815
    sellSum = serializers.IntegerField(help_text="Kopecks.")  # noqa: N815
    sellCostSum = serializers.IntegerField(help_text="Kopecks.")  # noqa: N815
    profit = serializers.IntegerField(help_text="Kopecks.")
    margin = serializers.FloatField()


class CounterpartyFigures(serializers.Serializer[Any]):
    class Identity(serializers.Serializer[Any]):
        meta = EntityLink()
        id = serializers.UUIDField()
        name = serializers.CharField()

    meta = Link()
    counterparty = Identity()
    firstDemandDate = serializers.CharField(allow_null=True)  # noqa: N815
    lastDemandDate = serializers.CharField(allow_null=True)  # noqa: N815
    demandsCount = serializers.IntegerField()  # noqa: N815
    demandsSum = serializers.IntegerField(help_text="Kopecks.")  # noqa: N815
    averageReceipt = serializers.IntegerField(help_text="Kopecks.")  # noqa: N815
    profit = serializers.IntegerField(help_text="Kopecks.")


class Document(serializers.Serializer[Any]):
    context = Context()
    meta = Link()


class SelectedFigures(Document):
    rows = CounterpartyFigures(many=True)


class Dashboard(Document):
    class Sales(serializers.Serializer[Any]):
        count = serializers.IntegerField()
        amount = serializers.IntegerField(help_text="Kopecks.")

    class Money(serializers.Serializer[Any]):
        income = serializers.IntegerField(help_text="Kopecks.")
        outcome = serializers.IntegerField(help_text="Kopecks.")
        balance = serializers.IntegerField(help_text="Kopecks.")

    sales = Sales()
    money = Money()


class SalesPoint(serializers.Serializer[Any]):
    date = serializers.CharField()
    quantity = serializers.IntegerField()
    sum = serializers.IntegerField(help_text="Kopecks.")


class SalesSeriesDocument(Document):
    series = SalesPoint(many=True)


class MoneyPoint(serializers.Serializer[Any]):
    date = serializers.CharField()
    credit = serializers.IntegerField(help_text="Kopecks.")
    debit = serializers.IntegerField(help_text="Kopecks.")
    balance = serializers.IntegerField(help_text="Kopecks.")


class MoneySeriesDocument(Document):
    series = MoneyPoint(many=True)
