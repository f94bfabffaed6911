"""A note, with everything that apps add to a model."""

from __future__ import annotations

import rules
from auditlog.registry import auditlog
from django.conf import settings
from django.db import models
from django_prometheus.models import ExportModelOperationsMixin
from rules.contrib.models import RulesModel
from simple_history.models import HistoricalRecords


@rules.predicate
def wrote_it(user, note):
    return note is not None and note.author == user


class Note(ExportModelOperationsMixin("note"), RulesModel):
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.TextField()
    history = HistoricalRecords()

    class Meta:
        rules_permissions = {"change": wrote_it}


auditlog.register(Note)
