"""Admin of webhooks and deliveries, with the same rules as the webhook API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..dialects.base.webhooks import WebhookFields
from ..exceptions import AddressRefused, AsyncExchangeError, SubscriptionNotFound
from ..models import Delivery, DeliveryAttempt, Webhook
from ..protocol import address_rules
from ..protocol.values import Owner
from ..redaction import masked_url
from ..webhooks import delivery, subscriptions
from .buttons import ActionButtonsMixin
from .listing import NulSafeChangeList, shortened

if TYPE_CHECKING:
    AttemptInline = admin.TabularInline[DeliveryAttempt, Delivery]
    WebhookModelForm = forms.ModelForm[Webhook]
else:
    AttemptInline = admin.TabularInline
    WebhookModelForm = forms.ModelForm

EDITABLE_FIELDS = ("action", "url", "with_fields", "enabled")


class WebhookForm(WebhookModelForm):
    """Checks the URL, so that the form can show what is wrong with it."""

    class Meta:
        model = Webhook
        fields = ("dialect", "account", *EDITABLE_FIELDS)
        widgets = {"url": forms.URLInput(attrs={"class": "vURLField"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "dialect" in self.fields:
            names = [(mount.name, mount.name) for mount in conf.mounts if mount.SUBSCRIPTIONS]
            self.fields["dialect"] = forms.ChoiceField(choices=names, label=_("dialect"))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        dialect = conf.mounted(cleaned.get("dialect") or self.instance.dialect)
        if dialect is None or not dialect.SUBSCRIPTIONS:
            raise ValidationError(gettext("The dialect is no longer mounted."))
        try:
            if cleaned.get("url"):
                address_rules.check(cleaned["url"], conf.rules(dialect.policy))
        except AddressRefused as error:
            raise ValidationError({"url": gettext(str(error))}) from error
        return cleaned


@admin.action(description=_("Resend failed deliveries"), permissions=["change"])
def resend_failed(site: Any, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
    _show_count(request, delivery.resend(Delivery.objects.filter(webhook__in=queryset, state=Delivery.FAILED)))


@admin.action(description=_("Rotate the secret"), permissions=["change"])
def rotate(site: Any, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
    for webhook in queryset:
        _show_secret(request, webhook, subscriptions.rotate(webhook).secret)
        site.log_change(request, webhook, gettext("Secret rotated."))


@admin.action(description=_("Resend the selected deliveries"), permissions=["resend"])
def resend(site: Any, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
    _show_count(request, delivery.resend(Delivery.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))))


def _show_count(request: HttpRequest, count: int) -> None:
    text = ngettext("%(count)d delivery was queued again.", "%(count)d deliveries were queued again.", count)
    (messages.success if count else messages.warning)(request, text % {"count": count})


def _show_secret(request: HttpRequest, webhook: Webhook, secret: str) -> None:
    text = gettext("Secret of %(webhook)s, shown only once: %(secret)s")
    messages.warning(request, text % {"webhook": webhook, "secret": secret})


@admin.register(Webhook)
class WebhookAdmin(ActionButtonsMixin):
    form = WebhookForm
    list_display = (
        "short_address",
        "action",
        "dialect",
        "short_account",
        "enabled",
        "delivered",
        "failed",
        "last_success",
        "created",
    )
    list_filter = ("action", "enabled", "dialect")
    search_fields = ("url", "account")
    ordering = ("-created",)
    readonly_fields = ("disabled_reason", "delivered", "failed", "last_success", "failing_since", "created")
    actions = (resend_failed, rotate)
    buttons = {"resend_failed": _("Resend failed deliveries"), "rotate": _("Rotate the secret")}  # noqa: RUF012

    def button_disabled_reason(self, name: str, obj: Webhook) -> str:
        return gettext("The webhook is disabled.") if name == "resend_failed" and not obj.enabled else ""

    @admin.display(description=_("address"))
    def address(self, webhook: Webhook) -> str:
        return masked_url(webhook.url)

    @admin.display(description=_("address"), ordering="url")
    def short_address(self, webhook: Webhook) -> str:
        return shortened(masked_url(webhook.url), 60)

    @admin.display(description=_("account"), ordering="account")
    def short_account(self, webhook: Webhook) -> str:
        return shortened(webhook.account)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NulSafeChangeList]:
        return NulSafeChangeList

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """A new webhook has no history. Users with only view permission see its URL masked."""
        if obj is None:
            return "dialect", "account", *EDITABLE_FIELDS
        masked = ("action", "address", *EDITABLE_FIELDS[2:])
        editable = EDITABLE_FIELDS if self.has_change_permission(request, obj) else masked
        return "dialect", "account", *editable, *self.readonly_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Dialect and account of an existing webhook cannot be changed."""
        return () if obj is None else ("dialect", "account", "address", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        fields = WebhookFields(**{name: form.cleaned_data.get(name) for name in EDITABLE_FIELDS})
        dialect = conf.dialect(obj.dialect)
        if change:
            stored = Webhook.objects.filter(pk=obj.pk).first()
            if stored is None:
                raise SubscriptionNotFound
            subscriptions.change(stored, dialect, fields)
            return
        made = subscriptions.create(dialect, Owner(account=obj.account), request.user.pk, fields)
        obj.pk = made.id
        obj.refresh_from_db()
        _show_secret(request, obj, made.secret)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count the deliveries, which are deleted with their webhook: there may be too many to list them."""
        shown = [str(webhook) for webhook in objs]
        deliveries = Delivery.objects.filter(webhook__in=[webhook.pk for webhook in objs]).count()
        counts = {self.opts.verbose_name_plural: len(shown), Delivery._meta.verbose_name_plural: deliveries}
        return shown, counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        subscriptions.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        for webhook in queryset:
            subscriptions.remove(webhook)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show errors that occur only while saving: limits and duplicates."""
        try:
            response: HttpResponseBase = super().changeform_view(request, *args, **kwargs)
        except AsyncExchangeError as error:
            messages.error(request, gettext(str(error)))
            return HttpResponseRedirect(request.get_full_path())
        return response


class AttemptsInline(AttemptInline):
    model = DeliveryAttempt
    extra = 0
    can_delete = False
    fields = readonly_fields = ("at", "status_code", "error", "milliseconds", "answer")
    ordering = ("at", "pk")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(ActionButtonsMixin):
    list_display = ("id", "event", "short_address", "state", "tries", "created", "due", "finished")
    list_filter = ("state", "created", "event")
    list_select_related = ()
    ordering = ("-created",)
    search_fields = ("host",)
    show_full_result_count = False
    fields = readonly_fields = (
        "id",
        "webhook",
        "task",
        "event",
        "method",
        "address",
        "body",
        "state",
        "tries",
        "created",
        "due",
        "finished",
    )
    inlines = (AttemptsInline,)
    actions = (resend,)
    buttons = {"resend": _("Resend")}  # noqa: RUF012

    def button_disabled_reason(self, name: str, obj: Delivery) -> str:
        if obj.state == Delivery.WAITING:
            return gettext("The delivery is still in progress.")
        return gettext("The webhook is disabled.") if obj.webhook and not obj.webhook.enabled else ""

    @admin.display(description=_("address"))
    def address(self, row: Delivery) -> str:
        return masked_url(row.address or row.host)

    @admin.display(description=_("address"))
    def short_address(self, row: Delivery) -> str:
        return shortened(self.address(row), 60)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NulSafeChangeList]:
        return NulSafeChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """Always False: deliveries are deleted with their task."""
        return False

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)
