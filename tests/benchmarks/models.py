"""What the lower bounds write and read."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now


class Record(models.Model):
    """A row as large as a task's, of an app's own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey("auth.User", models.CASCADE, null=True, related_name="+")
    state = models.CharField(max_length=16, default="PENDING")
    method = models.CharField(max_length=32, default="POST")
    url = models.TextField()
    request = models.JSONField()
    response_headers = models.JSONField(default=list)
    created = models.DateTimeField(db_default=Now())
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    deletion_date = models.DateTimeField(null=True)


class Item(models.Model):
    """A row of a report."""

    name = models.CharField(max_length=64)
    article = models.CharField(max_length=32)
    quantity = models.IntegerField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    updated = models.DateTimeField()
