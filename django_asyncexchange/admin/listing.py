"""Change lists that stay fast on large tables: pagination, columns and filters."""

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
    """``name``, truncated to fit a column."""
    return Truncator(str(name)).chars(length)


class CappedPaginator(TaskPaginator):
    """Counts no more than ``max_count`` rows, so that no request counts or skips a whole table."""

    max_count = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[: self.max_count].count()
        return counted

    @property
    def is_capped(self) -> bool:
        return self.count == self.max_count


class NulSafeChangeList(ChangeList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        """Reject NUL characters like any invalid lookup: PostgreSQL cannot store or compare them."""
        if any("\0" in text for texts in request.GET.lists() for text in (texts[0], *texts[1])):
            raise IncorrectLookupParameters
        return super().get_queryset(request, exclude_parameters)


class TaskChangeList(NulSafeChangeList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        """Defer the large columns that the list does not show."""
        return (
            super().get_queryset(request, exclude_parameters).defer("request", "response_headers", "response_cookies")
        )

    def get_results(self, request: HttpRequest) -> None:
        """Shorten the URLs of the rows, also in ``str(task)``, which Django renders for screen readers."""
        super().get_results(request)
        rows: list[AsyncTask] = list(self.result_list)
        for task in rows:
            task.url = shortened(ORIGIN.sub("", masked_url(task.url)), 60)
            task.account = shortened(task.account)
        self.result_list = rows
        self.is_worker_missing = presence.seems_missing(rows)


class FixedChoicesFilter(admin.SimpleListFilter):
    """Filter with choices from code: querying the distinct values would read the whole table."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in self.values()]

    def values(self) -> Sequence[str]:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class DialectFilter(FixedChoicesFilter):
    title, parameter_name = _("dialect"), "dialect"

    def values(self) -> Sequence[str]:
        return [mount.name for mount in conf.mounts]


class MethodFilter(FixedChoicesFilter):
    title, parameter_name = _("method"), "method"

    def values(self) -> Sequence[str]:
        return ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
