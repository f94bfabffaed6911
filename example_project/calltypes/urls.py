"""URLs of call types: ``/unifiedconfig/config/calltype``."""

from __future__ import annotations

from django.urls import path

from .views import CallTypeViewSet

urlpatterns = [
    path("calltype", CallTypeViewSet.as_view({"get": "list", "post": "create"}), name="calltype-list"),
    path(
        "calltype/<int:pk>",
        CallTypeViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
        name="calltype-detail",
    ),
]
