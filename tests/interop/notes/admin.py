"""Notes in Unfold's admin."""

from __future__ import annotations

from django.contrib import admin
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin

from .models import Note


@admin.register(Note)
class NoteAdmin(SimpleHistoryAdmin, ModelAdmin):
    pass
