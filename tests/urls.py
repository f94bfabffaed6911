from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("zoo/", include("tests.project.views")),
    path("api/remap/1.2/zoo/", include("tests.project.views", namespace="reports")),
    path("", include("django_asyncexchange.urls")),
]
