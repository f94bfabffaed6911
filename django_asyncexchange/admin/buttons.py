"""Admin actions as buttons on the change page of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin


class ActionButtonsMixin(Base):
    """ModelAdmin that shows some of its ``actions`` as buttons on the change page, with their permissions."""

    buttons: ClassVar[Mapping[str, Any]] = {}
    """Action name → label, in the order in which the buttons are shown."""

    def button_disabled_reason(self, name: str, obj: Any) -> str | None:
        """Why the button is disabled for ``obj``; ``""`` = it is enabled, None = it is not shown."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.run_action)
        return [path("<path:object_id>/act/<slug:name>/", view, name=self._url_name("act")), *super().get_urls()]

    def run_action(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        """Run the action ``name`` on one object; redirect to its page, or to the list if it was deleted."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        found: Any = self.get_actions(request).get(name)
        if found is None or not self.has_view_or_change_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is not None:
            rows: QuerySet[Any] = self.get_queryset(request).filter(pk=obj.pk)
            function = found.func if hasattr(found, "func") else found[0]  # a tuple before Django 6.1
            response: HttpResponseBase | None = function(self, request, rows)
            if response is not None:
                return response
            if rows.exists():
                return HttpResponseRedirect(self._url("change", obj))
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:{self._url_name('changelist')}"))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj") or context.get("original")
        context["buttons"] = self._buttons(request, obj) if obj is not None and obj.pk else []
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        allowed = self.get_actions(request)
        offered = [
            (name, label, self.button_disabled_reason(name, obj))
            for name, label in self.buttons.items()
            if name in allowed
        ]
        return [
            {"label": label, "disabled_reason": reason, "url": self._url("act", obj, name)}
            for name, label, reason in offered
            if reason is not None
        ]

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _url(self, page: str, obj: Any, *args: str) -> str:
        return reverse(f"{self.admin_site.name}:{self._url_name(page)}", args=(quote(obj.pk), *args))
