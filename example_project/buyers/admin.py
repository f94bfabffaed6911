"""Admin of buyers."""

from __future__ import annotations

from django.contrib import admin

from .models import Buyer


@admin.register(Buyer)
class BuyerAdmin(admin.ModelAdmin):
    list_display = ["uuid", "pin"]
    search_fields = ["uuid"]
