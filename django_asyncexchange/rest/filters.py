"""A django-filter ``FilterSet`` for tasks: of the dialects' lists, and for a project's own DRF views.

>>> class Tasks(ListAPIView):
...     queryset = AsyncTask.objects.all()
...     serializer_class = AsyncTaskSerializer
...     filter_backends = [DjangoFilterBackend]
...     filterset_class = AsyncTaskFilter

``?state=DONE&request__contains=report&deletion_date__lt=2026-11-23T00:00:00Z&order_by=-deletion_date``
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters as df
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q, QuerySet
from django.forms import DateTimeField, Field, MultipleChoiceField, TypedChoiceField
from django.utils.translation import gettext_lazy as _

from ..models import AsyncTask
from ..models.tasks import STATES
from ..redaction import masked_url
from .iso8601 import moment_of

ORDER = ("created", "started", "finished", "deletion_date", "url", "state")
NULL = "null"


class ManyTexts(MultipleChoiceField):
    """A parameter that may be repeated, with any text."""

    def valid_value(self, value: Any) -> bool:
        return "\0" not in value  # databases refuse it


class ManyMoments(ManyTexts):
    """ISO 8601 intervals ``start/end``, half-open, or ``null``."""

    def clean(self, value: Any) -> list[Q]:
        return [self.condition(text) for text in super().clean(value)]

    def condition(self, text: str) -> Q:
        if text == NULL:
            return Q(deletion_date=None)
        start, _slash, end = text.partition("/")
        try:
            first, last = moment_of(start), moment_of(end)
        except ValueError as error:
            raise ValidationError(_("Enter an interval start/end, or null.")) from error
        return Q(deletion_date__gte=first, deletion_date__lt=last)


class Moment(DateTimeField):
    """A date and time that can be converted to UTC, which overflows at the edges of the calendar."""

    def clean(self, value: Any) -> dt.datetime | None:
        moment: dt.datetime | None = super().clean(value)
        try:
            return moment and moment.astimezone(dt.UTC)
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class At(df.DateTimeFilter):
    field_class: type[Field] = Moment


class TrueOrFalse(TypedChoiceField):
    """``true`` or ``false`` in any case. ``NullBooleanField`` takes any other text for no value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=[("true", "true"), ("false", "false")], coerce="true".__eq__, **options)

    def to_python(self, value: Any) -> Any:
        return super().to_python(value.lower() if isinstance(value, str) else value)


class IsNull(df.Filter):
    field_class: type[Field] = TrueOrFalse


class AnyOf(df.Filter):
    """Several values, of which a task has to match one."""

    field_class: type[Field] = ManyTexts

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class NoneOf(AnyOf):
    """Several values, of which a task has to match none."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.exclude(**{f"{self.field_name}__in": value}) if value else qs


class Addresses(AnyOf):
    """Several URLs as submitted; they are masked as the stored ones are."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return super().filter(qs, [masked_url(each) for each in value or ()])


class OtherAddresses(Addresses, NoneOf):
    """Several URLs, of which a task has to match none."""


class Within(df.Filter):
    """Several intervals, one of which has to contain the task's deletion date."""

    field_class: type[Field] = ManyMoments

    def filter(self, qs: QuerySet[Any], value: list[Q]) -> QuerySet[Any]:
        return qs.filter(self.any(value)) if value else qs

    @staticmethod
    def any(conditions: list[Q]) -> Q:
        found = Q()
        for condition in conditions:
            found |= condition
        return found


class NotWithin(Within):
    """Several intervals, none of which may contain the task's deletion date; tasks without one match."""

    def filter(self, qs: QuerySet[Any], value: list[Q]) -> QuerySet[Any]:
        if not value:
            return qs
        dated = [condition for condition in value if condition != Q(deletion_date=None)]
        found = Q() if len(dated) < len(value) else Q(deletion_date=None)
        rows = qs.filter(deletion_date__isnull=False) if len(dated) < len(value) else qs
        return rows.filter(found | ~self.any(dated)) if dated else rows


class AsyncTaskFilter(df.FilterSet):
    """Filters for ``AsyncTask``. ``request`` is the URL as submitted."""

    state = df.MultipleChoiceFilter(choices=STATES)
    state__not = df.MultipleChoiceFilter(field_name="state", choices=STATES, exclude=True)
    method = df.CharFilter()
    request = Addresses(field_name="url")
    request__not = OtherAddresses(field_name="url")
    request__contains = df.CharFilter(field_name="url", lookup_expr="contains")
    deletion_date__within = Within(field_name="deletion_date")
    deletion_date__not_within = NotWithin(field_name="deletion_date")
    order_by = df.OrderingFilter(fields=tuple((name, name) for name in ORDER))

    class Meta:
        model = AsyncTask
        fields: ClassVar[dict[str, list[str]]] = {
            name: ["exact", "lt", "lte", "gt", "gte", "isnull"]
            for name in ("created", "started", "finished", "deletion_date")
        }
        filter_overrides: ClassVar[dict[type[models.Field[Any, Any]], dict[str, Any]]] = {
            models.BooleanField: {"filter_class": IsNull},  # of the lookup isnull
            models.DateTimeField: {"filter_class": At},
        }

    @staticmethod
    def order(tasks: QuerySet[AsyncTask], names: Sequence[str]) -> QuerySet[AsyncTask]:
        """Order by ``names`` (a leading ``-`` reverses), nulls last; without names keep the order."""
        terms = [
            F(name.removeprefix("-")).desc(nulls_last=True) if name.startswith("-") else F(name).asc(nulls_last=True)
            for name in names
        ]
        return tasks.order_by(*(terms or tasks.query.order_by), "-created", "id")
