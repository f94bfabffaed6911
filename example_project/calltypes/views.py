"""Create, list, read, update and delete call types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from .errors import exception_handler
from .models import CallType
from .parser import CallTypeXMLParser
from .renderer import CallTypeXMLRenderer
from .schema import CallTypeSchema, described
from .serializer import CallTypeSerializer


@described
class CallTypeViewSet(GenericViewSet):
    """Responses to successful writes have an empty body, as Cisco's."""

    async_exchange = True
    queryset = CallType.objects.order_by("pk")
    serializer_class = CallTypeSerializer
    parser_classes = [JSONParser, CallTypeXMLParser]
    schema = CallTypeSchema()
    renderer_classes = [JSONRenderer, CallTypeXMLRenderer]

    @property
    def xml_root(self) -> str:
        return "callTypes" if self.action == "list" else "callType"

    def list(self, request: Request) -> Response:
        return Response({"callType": self.get_serializer(self.get_queryset(), many=True).data})

    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        location = reverse("calltype-detail", args=[self.save(serializer).pk], request=request)
        return Response(status=201, headers={"Location": location})

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    def update(self, request: Request, pk: int) -> Response:
        serializer = self.get_serializer(self.get_object(), data=request.data)
        serializer.is_valid(raise_exception=True)
        self.save(serializer)
        return Response()

    def destroy(self, request: Request, pk: int) -> Response:
        self.get_object().delete()
        return Response()

    def save(self, serializer: BaseSerializer[CallType]) -> CallType:
        """Save a validated serializer. If its name was taken concurrently, validate again to raise the error."""
        try:
            with transaction.atomic():
                return serializer.save()
        except IntegrityError:
            serializer.run_validation(serializer.initial_data)
            raise

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return exception_handler
