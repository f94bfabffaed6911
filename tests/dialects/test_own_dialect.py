"""A dialect of a project brings the facts of its protocol: delivery rules, headers, fields of a page."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from django_asyncexchange.dialects.base import DeliveryRules, Policy
from django_asyncexchange.dialects.prefer import Prefer
from django_asyncexchange.intake import capture
from django_asyncexchange.models import Delivery
from django_asyncexchange.rest.pagination import WholeCollectionMixin

from ..receivers import LOOPBACK, receiving
from ..services import IDLE, exchange
from ..webhooks.test_delivery import deliver, finished, subscribed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


class Courier(Prefer):
    DELIVERY_RULES = {"courier": DeliveryRules(success_statuses=frozenset({418}), schedule=(0,), immediate_retries=1)}
    OWN_HEADERS = frozenset({"X-Courier-Url"})
    PAGE_FIELDS = frozenset({"nextParcel"})
    POLICY = Policy(delivery="courier")


@pytest.fixture
def courier(settings):
    settings.ASYNC_EXCHANGE = exchange(
        EXECUTOR=IDLE,
        WEBHOOK_ALLOWED_NETWORKS=LOOPBACK,
        WEBHOOK_PORTS=range(1, 65536),
        WEBHOOK_REQUIRE_HTTPS=False,
        DIALECTS={"courier": {"CLASS": f"{__name__}.Courier"}, "prefer": None},
    )


@pytest.mark.parametrize(
    ("status", "state", "requests"), [(418, Delivery.DELIVERED, 1), (200, Delivery.FAILED, 2)], ids=["418", "200"]
)
def test_webhooks_follow_its_delivery_rules(courier, status, state, requests):
    with receiving(status) as receiver:
        subscribed(receiver.url(), dialect="courier")
        finished("courier")
        deliver()
    assert Delivery.objects.get().state == state
    assert len(receiver.seen) == requests


def captured_headers():
    request = RequestFactory().get("/", headers={"X-Courier-Url": "https://example.com/", "X-Other": "1"})
    return {name for name, _ in capture.capture(request).headers}


def test_its_headers_do_not_reach_the_view(courier):
    assert "X-Other" in captured_headers()
    assert "X-Courier-Url" not in captured_headers()


def test_headers_of_a_dialect_that_is_not_mounted_reach_the_view():
    assert "X-Courier-Url" in captured_headers()


class Parcels(LimitOffsetPagination):
    def get_paginated_response(self, data):
        return Response({"nextParcel": "y", "parcels": data})


class WholeParcels(WholeCollectionMixin, Parcels):
    pass


def test_a_deferred_run_omits_its_page_fields(courier):
    request = RequestFactory().get("/")
    request.async_task = "a task"
    pages = WholeParcels()
    rows = pages.paginate_queryset([1, 2, 3], Request(request))
    assert pages.get_paginated_response(rows).data == {"parcels": [1, 2, 3]}
