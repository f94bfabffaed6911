"""Who has tasks: a row to count against."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .managers import Homed, HomeManager
from .moments import Moment
from .querysets import AccountQuerySet


class Account(Homed):
    """One row per account and mount: whoever writes it may count and insert that account's tasks."""

    dialect = models.CharField(max_length=64)
    account = models.CharField(max_length=150)
    secret = models.TextField(blank=True, editable=False)
    """Sealed; signs the callbacks that single calls of this account ask for. The former one too, ``former_until``."""
    former_secret = models.TextField(blank=True, editable=False)
    former_until = Moment(null=True, editable=False)
    touched = Moment(db_default=Now())

    objects = HomeManager.from_queryset(AccountQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["dialect", "account"], name="asyncexchange_one_account"),
        ]

    def __str__(self) -> str:
        return f"{self.account} ({self.dialect})"
