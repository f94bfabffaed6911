"""The list of tasks: pages, columns and filters that stay cheap on a large table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..redaction import masked_url
from ..tasks import presence

if TYPE_CHECKING:
    from ..models import AsyncTask

    TaskPaginator = Paginator[AsyncTask]
else:
    TaskPaginator = Paginator

ORIGIN = re.compile(r"^\w+://[^/?#]*")


def shortened(name: object, length: int = 32) -> str:
    """``name`` as a column has room for it."""
    return Truncator(str(name)).chars(length)


class FirstPages(TaskPaginator):
    """Counts no further than anybody turns pages, so that no request counts or skips a whole table."""

    reach = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[: self.reach].count()
        return counted

    @property
    def is_cut(self) -> bool:
        return self.count == self.reach


class CarefulList(ChangeList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        """A zero character, which PostgreSQL would not take, is in no row: it is refused like any odd filter."""
        if any("\0" in text for texts in request.GET.lists() for text in (texts[0], *texts[1])):
            raise IncorrectLookupParameters
        return super().get_queryset(request, exclude_parameters)


class TaskList(CarefulList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        """Without the columns that may be large and are not shown."""
        return super().get_queryset(request, exclude_parameters).defer("request", "response_headers")

    def get_results(self, request: HttpRequest) -> None:
        """The page's rows with short addresses, also in their names: Django writes those for screen readers."""
        super().get_results(request)
        rows: list[AsyncTask] = list(self.result_list)
        for task in rows:
            task.url = shortened(ORIGIN.sub("", masked_url(task.url)), 60)
            task.account = shortened(task.account)
        self.result_list = rows
        self.is_worker_missed = presence.seems_missed(rows)


class KnownValues(admin.SimpleListFilter):
    """A filter whose choices are known: asking the table for its distinct values would read all of it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in self.values()]

    def values(self) -> Sequence[str]:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class DialectFilter(KnownValues):
    title, parameter_name = _("dialect"), "dialect"

    def values(self) -> Sequence[str]:
        return [mount.name for mount in conf.mounts]


class MethodFilter(KnownValues):
    title, parameter_name = _("method"), "method"

    def values(self) -> Sequence[str]:
        return ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
