"""Admin of the inventory."""

from __future__ import annotations

from django.contrib import admin

from .models import AccessToken, Account, Counterparty, Member, Product, Sale, Stock, Store

admin.site.register(Account)


@admin.register(Member)
class MemberAdmin(admin.ModelAdmin):
    list_display = ["user", "account", "kind", "is_administrator"]
    list_select_related = ["user", "account"]


@admin.register(AccessToken)
class AccessTokenAdmin(admin.ModelAdmin):
    list_display = ["id", "user"]
    list_select_related = ["user"]
    readonly_fields = ["digest"]


@admin.register(Store, Product, Counterparty)
class NamedAdmin(admin.ModelAdmin):
    list_display = ["number", "name", "name_en", "account"]
    list_select_related = ["account"]
    list_filter = ["account"]
    search_fields = ["name", "name_en"]
    show_full_result_count = False


@admin.register(Stock)
class StockAdmin(admin.ModelAdmin):
    list_display = ["product", "store", "stock", "reserve", "in_transit"]
    list_select_related = ["product", "store"]
    list_filter = ["store"]
    raw_id_fields = ["product"]
    show_full_result_count = False


@admin.register(Sale)
class SaleAdmin(admin.ModelAdmin):
    list_display = ["moment", "product", "counterparty", "quantity", "amount"]
    list_select_related = ["product", "counterparty"]
    raw_id_fields = ["product", "counterparty"]
    show_full_result_count = False
