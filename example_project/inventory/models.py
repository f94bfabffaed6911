"""Models of the inventory. Rows are ordered by ``number``, so that pagination is stable.

Foreign keys with ``db_index=False`` are the first column of another index.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Account(models.Model):
    """A company. Its members see the same data."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A person or a program that works for an account."""

    class Kind(models.TextChoices):
        EMPLOYEE = "employee"
        APPLICATION = "application"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="member")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="members")
    kind = models.CharField(max_length=11, choices=Kind, default=Kind.EMPLOYEE)
    is_administrator = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.user} ({self.kind})"


class AccessToken(models.Model):
    """A bearer token. Only its digest is stored, so that a leaked table cannot be used to log in."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_tokens")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token")

    def __str__(self) -> str:
        return f"token of {self.user}"


class Named(models.Model):
    """Base of an account's entities: a position in their list and a name in both languages."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    name_en = models.CharField(max_length=100)

    class Meta:
        abstract = True
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="%(class)s_number_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    def label(self, language: str) -> str:
        """The name in ``language``."""
        return self.name_en if language == "en" else self.name


class Store(Named):
    """A warehouse."""


class Product(Named):
    """Something that is stocked and sold. Prices are in kopecks."""

    cost = models.PositiveIntegerField()
    price = models.PositiveIntegerField()

    @property
    def code(self) -> str:
        return f"{self.number:07}"


class Counterparty(Named):
    """A buyer."""

    class Meta(Named.Meta):
        verbose_name_plural = "counterparties"


class Stock(models.Model):
    """Quantity of a product in a store. Negative if it was sold before it arrived."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="stocks", db_index=False)
    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="stocks")
    stock = models.IntegerField(default=0)
    reserve = models.IntegerField(default=0)
    in_transit = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "store"], name="stock_place_unique")]

    def __str__(self) -> str:
        return f"{self.product} in {self.store}: {self.stock}"


class Sale(models.Model):
    """One product sold to one counterparty. Sums are in kopecks."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="sales")
    counterparty = models.ForeignKey(Counterparty, on_delete=models.CASCADE, related_name="sales")
    moment = models.DateTimeField()
    quantity = models.PositiveIntegerField()
    amount = models.PositiveBigIntegerField()
    cost_amount = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["account", "moment"], name="sale_moment")]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"
