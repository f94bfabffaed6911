"""URLs of buyers: ``/generic/buyer/``."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from .views import BuyerViewSet

router = SimpleRouter(use_regex_path=False)
router.register("buyer", BuyerViewSet, basename="buyer")

urlpatterns = router.urls
