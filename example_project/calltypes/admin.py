"""Admin of call types."""

from __future__ import annotations

from django.contrib import admin

from .models import CallType


@admin.register(CallType)
class CallTypeAdmin(admin.ModelAdmin):
    list_display = ["name", "description", "threshold"]
    search_fields = ["name", "description"]
