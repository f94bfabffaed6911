"""Accounts: the row that is locked while an account's tasks are counted."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .managers import PrimaryDatabaseManager, PrimaryDatabaseModel
from .querysets import AccountQuerySet
from .timestamps import UTCDateTimeField


class Account(PrimaryDatabaseModel):
    """One row per account and mount. Writing it serialises counting and inserting that account's tasks and webhooks."""

    dialect = models.CharField(max_length=64)
    account = models.CharField(max_length=150)
    secret = models.TextField(blank=True, editable=False)
    """Encrypted; signs the callbacks of this account's calls. ``former_secret`` signs too, until ``former_until``."""
    former_secret = models.TextField(blank=True, editable=False)
    former_until = UTCDateTimeField(null=True, editable=False)
    touched = UTCDateTimeField(db_default=Now())

    objects = PrimaryDatabaseManager.from_queryset(AccountQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dialect", "account"], name="asyncexchange_one_account"),
        ]

    def __str__(self) -> str:
        return f"{self.account} ({self.dialect})"
