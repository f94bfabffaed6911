"""Unknown URLs: each API responds with a 404 in its own format, whatever ``DEBUG`` is.

Clients of these vendors parse that document and cannot handle Django's HTML page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from rest_framework.exceptions import NotFound
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from calltypes.errors import exception_handler as calltypes_handler
from calltypes.renderer import CallTypeXMLRenderer
from campaigns.errors import exception_handler as campaigns_handler
from inventory.errors import not_found


class Unknown(APIView):
    """The 404 of an API in the format that the client accepts, without authentication."""

    authentication_classes = []
    permission_classes = []
    handler: Callable[[Exception, dict[str, Any]], Response | None] = staticmethod(exception_handler)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None  # needed for content negotiation
        raise NotFound

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return self.handler


DOCUMENTS: Mapping[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "/api/remap/1.2/": not_found,
    "/kladana/api/remap/1.2/": not_found,
    "/api/v2/": Unknown.as_view(handler=campaigns_handler),
    "/generic/": Unknown.as_view(),
    "/unifiedconfig/config/": Unknown.as_view(
        handler=calltypes_handler, renderer_classes=[JSONRenderer, CallTypeXMLRenderer]
    ),
}
"""URL prefix → view of its 404. For an asynchronous call the dialect responds instead."""


class UnknownAddressMiddleware(MiddlewareMixin):
    """Placed before CommonMiddleware, which may redirect to the URL with a trailing slash."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.status_code != 404 or request.resolver_match is not None or not is_page:
            return response
        document = next((made for prefix, made in DOCUMENTS.items() if request.path_info.startswith(prefix)), None)
        if document is None:
            return response
        not_found = document(request)
        return not_found.render() if isinstance(not_found, Response) else not_found
