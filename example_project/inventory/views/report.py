"""What reports and lists have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from ..access import IsMember
from ..mounts import base_of, language_of
from ..pace import portions
from ..pagination import RemapPagination


class AccountView(GenericAPIView):
    """Shows a member the data of its account."""

    permission_classes = [IsMember]
    pagination_class = RemapPagination

    @property
    def account_id(self) -> UUID:
        return self.request.user.member.account_id

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        return context | {"base": base_of(self.request), "language": language_of(self.request)}


class Report(AccountView):
    """A report in rows. Long by nature, therefore callable asynchronously."""

    async_exchange = True
    meta_type: str

    def get(self, request: Request) -> Response:
        return self.answer()

    def answer(self) -> Response:
        """Build the page that was asked for, or the whole report in a deferred call."""
        found = self.paginate_queryset(self.get_queryset())
        rows = [row for portion in portions(found) for row in self.rows(portion)]
        return self.get_paginated_response(rows)

    def get_queryset(self) -> QuerySet[Any]:
        raise NotImplementedError

    def rows(self, portion: Sequence[Any]) -> list[dict[str, Any]]:
        """Rows of the report for some of the things that ``get_queryset`` found."""
        raise NotImplementedError
