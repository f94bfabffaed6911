"""Webhooks and what they were sent: made and changed by the same rules as over HTTP, and sent again."""

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
from ..dialects.base.webhooks import Wish
from ..exceptions import AddressRefused, AsyncExchangeError, SubscriptionNotFound
from ..models import Delivery, DeliveryAttempt, Webhook
from ..protocol import address_rules
from ..protocol.values import Owner
from ..redaction import masked_url
from ..webhooks import delivery, subscriptions
from .buttons import WithButtons
from .listing import CarefulList, shortened

if TYPE_CHECKING:
    AttemptInline = admin.TabularInline[DeliveryAttempt, Delivery]
    WebhookModelForm = forms.ModelForm[Webhook]
else:
    AttemptInline = admin.TabularInline
    WebhookModelForm = forms.ModelForm

WISHES = ("action", "url", "with_fields", "enabled")


class WebhookForm(WebhookModelForm):
    """The address is looked at here, so that the form can say what is wrong with it."""

    class Meta:
        model = Webhook
        fields = ("dialect", "account", *WISHES)
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
            raise ValidationError(gettext("Its dialect is not mounted any more."))
        try:
            if cleaned.get("url"):
                address_rules.check(cleaned["url"], conf.rules(dialect.policy))
        except AddressRefused as error:
            raise ValidationError({"url": gettext(str(error))}) from error
        return cleaned


@admin.action(description=_("Send once more what was given up"), permissions=["change"])
def resend_failed(site: Any, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
    _say(request, delivery.resend(Delivery.objects.filter(webhook__in=queryset, state=Delivery.FAILED)))


@admin.action(description=_("New secret"), permissions=["change"])
def rotate(site: Any, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
    for webhook in queryset:
        _tell_secret(request, webhook, subscriptions.rotate(webhook).secret)
        site.log_change(request, webhook, gettext("New secret."))


@admin.action(description=_("Send the selected deliveries once more"), permissions=["resend"])
def resend(site: Any, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
    _say(request, delivery.resend(Delivery.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))))


def _say(request: HttpRequest, count: int) -> None:
    text = ngettext("%(count)d delivery is sent once more.", "%(count)d deliveries are sent once more.", count)
    (messages.success if count else messages.warning)(request, text % {"count": count})


def _tell_secret(request: HttpRequest, webhook: Webhook, secret: str) -> None:
    text = gettext("The secret of %(webhook)s is shown this once: %(secret)s")
    messages.warning(request, text % {"webhook": webhook, "secret": secret})


@admin.register(Webhook)
class WebhookAdmin(WithButtons):
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
    buttons = {"resend_failed": _("Send once more what was given up"), "rotate": _("New secret")}  # noqa: RUF012

    def obstacle(self, name: str, obj: Webhook) -> str:
        return gettext("It is disabled.") if name == "resend_failed" and not obj.enabled else ""

    @admin.display(description=_("address"))
    def address(self, webhook: Webhook) -> str:
        return masked_url(webhook.url)

    @admin.display(description=_("address"), ordering="url")
    def short_address(self, webhook: Webhook) -> str:
        return shortened(masked_url(webhook.url), 60)

    @admin.display(description=_("account"), ordering="account")
    def short_account(self, webhook: Webhook) -> str:
        return shortened(webhook.account)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CarefulList]:
        return CarefulList

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """A new one has no history. Who may only look at it sees no secret in its address."""
        if obj is None:
            return "dialect", "account", *WISHES
        wishes = WISHES if self.has_change_permission(request, obj) else ("action", "address", *WISHES[2:])
        return "dialect", "account", *wishes, *self.readonly_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Whose it is stays as it is."""
        return () if obj is None else ("dialect", "account", "address", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        wish = Wish(**{name: form.cleaned_data.get(name) for name in WISHES})
        dialect = conf.dialect(obj.dialect)
        if change:
            stored = Webhook.objects.filter(pk=obj.pk).first()
            if stored is None:
                raise SubscriptionNotFound
            subscriptions.change(stored, dialect, wish)
            return
        made = subscriptions.create(dialect, Owner(account=obj.account), request.user.pk, wish)
        obj.pk = made.id
        obj.refresh_from_db()
        _tell_secret(request, obj, made.secret)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its deliveries go with a webhook, though nobody may delete them alone. There may be too many to be listed."""
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
        """Limits and duplicates are known only when it is saved."""
        try:
            answer: HttpResponseBase = super().changeform_view(request, *args, **kwargs)
        except AsyncExchangeError as error:
            messages.error(request, gettext(str(error)))
            return HttpResponseRedirect(request.get_full_path())
        return answer


class Attempts(AttemptInline):
    model = DeliveryAttempt
    extra = 0
    can_delete = False
    fields = readonly_fields = ("at", "status_code", "error", "milliseconds", "answer")
    ordering = ("at", "pk")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(WithButtons):
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
    inlines = (Attempts,)
    actions = (resend,)
    buttons = {"resend": _("Send once more")}  # noqa: RUF012

    def obstacle(self, name: str, obj: Delivery) -> str:
        if obj.state == Delivery.WAITING:
            return gettext("It has not been given up, and is on its way.")
        return gettext("Its webhook is disabled.") if obj.webhook and not obj.webhook.enabled else ""

    @admin.display(description=_("address"))
    def address(self, row: Delivery) -> str:
        return masked_url(row.address or row.host)

    @admin.display(description=_("address"))
    def short_address(self, row: Delivery) -> str:
        return shortened(self.address(row), 60)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CarefulList]:
        return CarefulList

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """It goes with its task."""
        return False

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)
