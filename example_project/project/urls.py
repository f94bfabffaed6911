"""URLconf. The first line includes the endpoints of django-asyncexchange."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView

urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("", TemplateView.as_view(template_name="front.html"), name="front"),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="openapi"), name="docs"),
    path("stock/", TemplateView.as_view(template_name="stock.html"), name="stock-page"),
    path("api/remap/1.2/", include("inventory.urls", namespace="moysklad")),
    path("kladana/api/remap/1.2/", include("inventory.urls", namespace="kladana")),
    path("generic/", include("buyers.urls")),
    path("api/v2/", include("campaigns.urls")),
    path("unifiedconfig/config/", include("calltypes.urls")),
    path("admin/", admin.site.urls),
    *staticfiles_urlpatterns(),
]
