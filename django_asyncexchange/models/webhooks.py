"""Webhook subscriptions, their deliveries and delivery attempts."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .. import encryption
from ..conf import conf
from ..redaction import masked_url
from .managers import PrimaryDatabaseManager, PrimaryDatabaseModel
from .querysets import DeliveryQuerySet, Destination
from .timestamps import UTCDateTimeField


class Webhook(PrimaryDatabaseModel):
    """A subscription of one account on one mount: events ``action`` of its tasks are sent to ``url``."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    PROCESSED = "PROCESSED"
    ACTIONS = (CREATE, UPDATE, PROCESSED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dialect = models.CharField(_("dialect"), max_length=64)
    account = models.CharField(_("account"), max_length=150)
    owner = models.ForeignKey(
        conf.project("AUTH_USER_MODEL"), models.SET_NULL, null=True, related_name="+", verbose_name=_("owner")
    )
    owner_kind = models.CharField(_("kind of owner"), max_length=32, blank=True)
    owner_reference = models.CharField(_("owner's reference"), max_length=150, blank=True)

    action = models.CharField(_("action"), max_length=16, choices=[(action, action) for action in ACTIONS])
    with_fields = models.BooleanField(_("with changed fields"), default=False)
    """Whether an UPDATE event lists the changed fields (MoySklad's ``diffType`` FIELDS)."""
    url = models.TextField(_("address"))
    url_digest = models.CharField(max_length=64, editable=False)
    """SHA-256 of ``url``, because not every database supports a unique constraint on a long text."""
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_reason = models.CharField(_("why it is disabled"), max_length=255, blank=True)

    secret = models.TextField(blank=True, editable=False)
    """Encrypted; signs the messages. ``former_secret`` signs too, until ``former_until``."""
    former_secret = models.TextField(blank=True, editable=False)
    former_until = UTCDateTimeField(null=True, editable=False)

    delivered = models.PositiveBigIntegerField(_("delivered"), default=0)
    failed = models.PositiveBigIntegerField(_("failed"), default=0)
    last_success = UTCDateTimeField(_("last success"), null=True)
    failing_since = UTCDateTimeField(_("failing since"), null=True)
    """When the first delivery failed for good after the last success."""
    created = UTCDateTimeField(_("created"), db_default=Now())

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["dialect", "account", "action", "url_digest"], name="asyncexchange_one_webhook"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} → {masked_url(self.url.partition('?')[0])}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.url_digest = self.digest
        super().save(*args, **kwargs)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()


class Delivery(PrimaryDatabaseModel):
    """One event for one receiver, inserted in the transaction of the change, then sent until it succeeds or fails.

    Its id is the message id of every attempt. Method, URL and body are rendered once.
    """

    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    STATES = (WAITING, DELIVERED, FAILED)
    CALLBACK = "CALLBACK"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, null=True, related_name="deliveries")
    """NULL for a callback, which one call asked for."""
    task = models.ForeignKey("asyncexchange.AsyncTask", models.CASCADE, related_name="deliveries")
    event = models.CharField(_("event"), max_length=16)
    """The webhook's ``action``, or CALLBACK."""

    method = models.CharField(_("method"), max_length=8)
    url = models.TextField(_("address"))
    """Encrypted; ``address`` decrypts it."""
    host = models.CharField(max_length=255, editable=False)
    """Host and port of ``url``, for the limit of ``WEBHOOK_IN_FLIGHT``."""
    content_type = models.CharField(max_length=255, blank=True, editable=False)
    body = models.TextField(_("body"), blank=True)

    state = models.CharField(_("state"), max_length=16, choices=[(s, s) for s in STATES], default=WAITING)
    tries = models.PositiveIntegerField(_("tries"), default=0)
    due = UTCDateTimeField(_("due"), db_default=Now())
    sent = UTCDateTimeField(null=True, editable=False)
    """When a queue message for it was last sent."""
    lease_until = UTCDateTimeField(null=True, editable=False)
    """Until then the process ``sender`` owns it and is sending it."""
    sender = models.CharField(max_length=255, blank=True, editable=False)
    """The process that sends it or sent it last, named as in ``process_id``."""
    created = UTCDateTimeField(_("created"), db_default=Now())
    finished = UTCDateTimeField(_("finished"), null=True)

    objects = PrimaryDatabaseManager.from_queryset(DeliveryQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "due"], name="asyncexchange_due"),
            models.Index(fields=["lease_until", "host"], name="asyncexchange_in_flight"),
            models.Index(fields=["webhook", "created"], name="asyncexchange_told"),
        ]

    def __str__(self) -> str:
        return f"{self.event} → {self.host} ({self.state})"

    @property
    def address(self) -> str | None:
        """The decrypted URL; None if its key is lost."""
        return encryption.unseal_address(self.url)

    @property
    def destination(self) -> Destination:
        """What ``WEBHOOK_IN_FLIGHT`` limits: one account's receivers at one host."""
        return self.host, self.task.dialect, self.task.account


class DeliveryAttempt(PrimaryDatabaseModel):
    """The outcome of one attempt of a delivery."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempts")
    at = UTCDateTimeField(_("at"), db_default=Now())
    status_code = models.PositiveSmallIntegerField(_("status code"), null=True)
    milliseconds = models.PositiveIntegerField(_("milliseconds"))
    error = models.CharField(_("error"), max_length=16, blank=True)
    answer = models.TextField(_("answer"), blank=True)
    """The first kilobyte of the response body."""

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["at"], name="asyncexchange_tried")]

    def __str__(self) -> str:
        return f"{self.status_code or self.error}, {self.milliseconds} ms"
