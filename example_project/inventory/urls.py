"""URLs of the inventory API, included once per mount."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from .views import dashboard, entities, people, plotseries, profit, selected, stock
from .views.counterparties import CounterpartyReport

app_name = "inventory"

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("entity/assortment", entities.AssortmentViewSet, basename="assortment")
router.register("entity/counterparty", entities.CounterpartyViewSet, basename="counterparty")
router.register("entity/product", entities.ProductViewSet, basename="product")
router.register("entity/store", entities.StoreViewSet, basename="store")

urlpatterns = [
    path("context/employee", people.Me.as_view(), name="me"),
    path("entity/employee/<uuid:pk>", people.Person.as_view(), {"kind": "employee"}, name="employee"),
    path("entity/application/<uuid:pk>", people.Person.as_view(), {"kind": "application"}, name="application"),
    *(path(f"entity/{kind}/metadata", entities.Metadata.as_view(), {"kind": kind}) for kind in entities.KINDS),
    path("report/stock/bystore", stock.StockByStore.as_view(), name="stock-by-store"),
    path("report/stock/all", stock.StockAll.as_view(), name="stock-all"),
    path("report/profit/byproduct", profit.ProfitByProduct.as_view(), name="profit-by-product"),
    path("report/sales/plotseries", plotseries.SalesSeries.as_view(), name="sales-series"),
    path("report/money/plotseries", plotseries.MoneySeries.as_view(), name="money-series"),
    path("report/counterparty", CounterpartyReport.as_view(), name="counterparty-report"),
    path("report/counterparty/selected", selected.selected_counterparties, name="counterparty-selected"),
    path("report/dashboard/<str:period>", dashboard.dashboard, name="dashboard"),
    *router.urls,
]
