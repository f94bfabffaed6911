"""URLs of campaigns: ``/api/v2/campaigns.json``."""

from __future__ import annotations

from django.urls import path

from .views import CampaignViewSet

urlpatterns = [
    path("campaigns.json", CampaignViewSet.as_view({"get": "list", "post": "create"}), name="campaign-list"),
    path(
        "campaigns/<int:pk>.json",
        CampaignViewSet.as_view({"get": "retrieve", "post": "partial_update"}),
        name="campaign-detail",
    ),
]
