"""Employees and applications of an account."""

from __future__ import annotations

from uuid import UUID

from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from ..models import Member
from ..serializers import MemberSerializer
from .report import AccountView


class Me(AccountView):
    """The caller."""

    serializer_class = MemberSerializer

    def get(self, request: Request) -> Response:
        return Response(self.get_serializer(request.user.member).data)


class Person(AccountView):
    """One employee or application of the caller's account."""

    serializer_class = MemberSerializer

    def get(self, request: Request, pk: UUID, kind: str) -> Response:
        members = Member.objects.filter(account=self.account_id, kind=kind).select_related("user")
        return Response(self.get_serializer(get_object_or_404(members, pk=pk)).data)
