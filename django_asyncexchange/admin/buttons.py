"""What the actions of a list do, as buttons on the page of one object: by POST, and for who may."""

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


class WithButtons(Base):
    """A model's admin whose ``actions`` are offered on the page of an object too."""

    buttons: ClassVar[Mapping[str, Any]] = {}
    """Labels by the name of the action, in the order in which they are shown."""

    def obstacle(self, name: str, obj: Any) -> str | None:
        """Why the action cannot be done with ``obj``, as its button says; ``""`` = it can, None = it is not shown."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act)
        return [path("<path:object_id>/act/<slug:name>/", view, name=self._name("act")), *super().get_urls()]

    def act(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        """Do the action ``name`` with one object, and come back to its page, or to the list where it is gone."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        found: Any = self.get_actions(request).get(name)
        if found is None or not self.has_view_or_change_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is not None:
            rows: QuerySet[Any] = self.get_queryset(request).filter(pk=obj.pk)
            do = found.func if hasattr(found, "func") else found[0]  # from Django 6.1 on it is no tuple
            answer: HttpResponseBase | None = do(self, request, rows)
            if answer is not None:
                return answer
            if rows.exists():
                return HttpResponseRedirect(self._address("change", obj))
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:{self._name('changelist')}"))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj") or context.get("original")
        context["buttons"] = self._buttons(request, obj) if obj is not None and obj.pk else []
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        allowed = self.get_actions(request)
        offered = [(name, label, self.obstacle(name, obj)) for name, label in self.buttons.items() if name in allowed]
        return [
            {"label": label, "obstacle": obstacle, "url": self._address("act", obj, name)}
            for name, label, obstacle in offered
            if obstacle is not None
        ]

    def _name(self, what: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{what}"

    def _address(self, what: str, obj: Any, *more: str) -> str:
        return reverse(f"{self.admin_site.name}:{self._name(what)}", args=(quote(obj.pk), *more))
