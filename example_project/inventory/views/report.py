"""Base classes of reports and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from django_asyncexchange.rest.whole_collection import WholeCollectionView

from ..access import IsMember
from ..delay import BATCH, batches
from ..mounts import base_of, language_of
from ..pagination import RemapPagination
from ..schema import RemapSchema


class AccountView(GenericAPIView):
    """Base view: data of the caller's account, for members only."""

    permission_classes = [IsMember]
    pagination_class = RemapPagination
    schema = RemapSchema()

    @property
    def account_id(self) -> UUID:
        return self.request.user.member.account_id

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        return context | {"base": base_of(self.request), "language": language_of(self.request)}


class Report(WholeCollectionView, AccountView):
    """A report with rows. Callable asynchronously, and then it is not paginated."""

    async_exchange = True
    chunk_size = BATCH  # of an asynchronous call, which reports its progress after each chunk
    meta_type: str
    size = 0

    def get(self, request: Request) -> Response:
        return self.respond()

    def respond(self) -> Response:
        """Respond with the requested page, or with the whole report in an asynchronous call."""
        found = self.get_queryset()
        if self.request.async_task is not None:
            self.size = found.count()
            return self.whole_collection(found)
        page = self.paginate_queryset(found)
        self.size = len(page)
        return self.get_paginated_response(self.represent(page))

    def get_queryset(self) -> QuerySet[Any]:
        raise NotImplementedError

    def represent(self, batch: Sequence[Any]) -> list[dict[str, Any]]:
        return [row for part in batches(batch, of=self.size) for row in self.rows(part)]

    def rows(self, batch: Sequence[Any]) -> list[dict[str, Any]]:
        """Rows of the report for a batch of the queryset."""
        raise NotImplementedError
