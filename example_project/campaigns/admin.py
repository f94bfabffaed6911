"""Admin of campaigns."""

from __future__ import annotations

from django.contrib import admin

from .models import Campaign


@admin.register(Campaign)
class CampaignAdmin(admin.ModelAdmin):
    list_display = ["name", "package", "status", "owner"]
    list_filter = ["status"]
    search_fields = ["name"]
