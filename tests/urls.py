from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from .project.paging import Report

urlpatterns = [
    path("admin/", admin.site.urls),
    path("zoo/", include("tests.project.views")),
    path("doors/", include("tests.project.doors")),
    path("api/remap/1.2/zoo/", include("tests.project.views", namespace="reports")),
    path("api/remap/1.2/doors/", include("tests.project.doors", namespace="report-doors")),
    path("kladana/api/remap/1.2/doors/", include("tests.project.doors", namespace="kladana-doors")),
    path("api/remap/1.2/paging/", Report.as_view()),
    path("", include("django_asyncexchange.urls")),
]
