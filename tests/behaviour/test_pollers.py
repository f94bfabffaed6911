"""Pollers of other people's finish against a real server: azure-core's, and a few lines of requests."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
import requests
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import HeadersPolicy, RedirectPolicy, RequestIdPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LocationPolling, LROBasePolling, OperationResourcePolling
from azure.core.rest import HttpRequest
from django.contrib.auth.models import User
from django.db import connections
from django.test import override_settings
from django.urls import include, path
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import runner

from ..project.serving import wsgi_server
from ..services import IDLE, PATIENCE, Idle, exchange, run_alone, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.behaviour.test_pollers")]


class Things(APIView):
    """Creates, updates and deletes; the name ``taken`` is refused."""

    authentication_classes: ClassVar[list[Any]] = [BasicAuthentication]
    permission_classes: ClassVar[list[Any]] = [IsAuthenticated]
    async_exchange = True

    def post(self, request: Any) -> Response:
        if request.data["name"] == "taken":
            return Response({"name": ["This name is taken."]}, status=409)
        return Response({"id": 7, **request.data}, status=201, headers={"Location": "/things/7/"})

    def put(self, request: Any) -> Response:
        return Response({"id": 7, **request.data})

    def delete(self, request: Any) -> Response:
        return Response({"deleted": 7})


class Now(Things):
    """Cannot be called asynchronously."""

    async_exchange = False


urlpatterns = [
    path("things/", Things.as_view()),
    path("now/", Now.as_view()),
    path("unifiedconfig/config/things/", Things.as_view()),
    path("", include("django_asyncexchange.urls")),
]

BASIC = "Basic " + base64.b64encode(b"anna:secret").decode()
PREFER = {"Prefer": "respond-async"}
THING = {"name": "a lamp"}
MADE = {"id": 7, **THING}
TAKEN = {"name": "taken"}


@pytest.fixture
def server():
    """The URL of a server whose tasks run when a test says so."""
    User.objects.create_user("anna", password="secret")
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)), wsgi_server() as port:
        yield f"http://127.0.0.1:{port}"


class Transport(RequestsTransport):
    """The SDK's own transport; where it would sleep between two polls, the next step runs instead."""

    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self.steps = list(steps)
        self.slept: list[float] = []

    def sleep(self, duration: float) -> None:
        self.slept.append(duration)
        try:
            self.steps.pop(0)()
        finally:
            connections.close_all()


def nothing():
    """The next poll finds the task unchanged."""


def run():
    """The worker runs the task submitted last."""
    runner.run(Idle.sent[-1])


def cancel():
    """Another client cancels it."""
    lifecycle.cancel(AsyncTask.objects.get(pk=Idle.sent[-1]))


@pytest.fixture
def begin(server):
    """``begin(step, ...)``: an asynchronous call and its poller; the steps run between polls."""
    clients = []

    def call(*steps, method="POST", path="/things/", headers=PREFER, data=THING, **options):
        given = HeadersPolicy(base_headers={"Authorization": BASIC, "Connection": "close"})
        policies = [RequestIdPolicy(), RedirectPolicy(), given]  # a redirect drops credentials, so they come last
        client = PipelineClient(server, policies=policies, transport=Transport(*steps))
        clients.append(client)
        request = HttpRequest(method, f"{server}{path}", json=data, headers=headers)
        first = client.send_request(request, _return_pipeline_response=True)
        return LROPoller(client, first, lambda last: last.http_response.json(), LROBasePolling(**options))

    yield call
    for client in clients:
        client.close()


def slept(poller):
    """How long the poller wanted to sleep between its polls."""
    return poller.polling_method()._client._pipeline._transport.slept


def last_request(poller):
    """The path of the poller's last request."""
    return poller.polling_method()._pipeline_response.http_response.request.url.partition("//")[2].partition("/")[2]


LOCATION = {"lro_algorithms": [LocationPolling()]}
"""Nothing but ``Location``; unless told so, the SDK follows ``Operation-Location`` where there is one."""

VIA_LOCATION = {"lro_options": {"final-state-via": "location"}}
CISCO = {"path": "/unifiedconfig/config/things/?async=true", "headers": {}}


class TestPrefer:
    def test_operation_location_poller_finishes(self, begin):
        poller = begin(nothing, run)
        assert poller.result(PATIENCE) == MADE
        assert poller.status() == "Succeeded"
        assert isinstance(poller.polling_method()._operation, OperationResourcePolling)
        assert last_request(poller) == f"async/tasks/{Idle.sent[0]}/result"

    @pytest.mark.parametrize("options", [LOCATION, VIA_LOCATION], ids=["location", "final-state-via location"])
    def test_location_poller_finishes(self, begin, options):
        poller = begin(nothing, run, **options)
        assert poller.result(PATIENCE) == MADE
        assert poller.status() == "Succeeded"

    @pytest.mark.parametrize("options", [{}, LOCATION], ids=["operation-location", "location"])
    def test_poller_sleeps_for_retry_after(self, begin, options):
        poller = begin(nothing, nothing, run, **options)
        poller.result(PATIENCE)
        assert slept(poller) == [1, 1, 1]

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    @pytest.mark.parametrize("options", [{}, LOCATION], ids=["operation-location", "location"])
    def test_put_and_delete_finish(self, begin, method, options):
        poller = begin(run, method=method, **options)
        assert poller.result(PATIENCE) == (MADE if method == "PUT" else {"deleted": 7})

    def test_operation_reports_the_failure(self, begin):
        poller = begin(nothing, run, data=TAKEN)
        with pytest.raises(HttpResponseError) as caught:
            poller.result(PATIENCE)
        assert poller.status() == "Failed"
        assert caught.value.status_code == 200
        assert caught.value.response.json()["error"]["code"] == "http_409"

    def test_location_poller_gets_the_error_response(self, begin):
        poller = begin(nothing, run, data=TAKEN, **LOCATION)
        with pytest.raises(HttpResponseError) as caught:
            poller.result(PATIENCE)
        assert poller.status() == "Failed"
        assert (caught.value.status_code, caught.value.response.json()) == (409, {"name": ["This name is taken."]})

    def test_operation_reports_the_cancellation(self, begin):
        poller = begin(nothing, cancel)
        with pytest.raises(HttpResponseError):
            poller.result(PATIENCE)
        assert poller.status() == "Canceled"

    def test_location_poller_gets_410_after_a_cancellation(self, begin):
        poller = begin(nothing, cancel, **LOCATION)
        with pytest.raises(HttpResponseError) as caught:
            poller.result(PATIENCE)
        assert (poller.status(), caught.value.status_code) == ("Failed", 410)

    def test_poller_is_done_at_once_without_preference_applied(self, begin):
        poller = begin(path="/now/", method="DELETE")
        assert (poller.done(), poller.result(PATIENCE)) == (True, {"deleted": 7})
        assert Idle.sent == []


class TestCisco:
    @pytest.mark.seed("S003-11", "S003-14", "S003-15", "S003-16", "S003-17")
    def test_post_finishes(self, begin):
        poller = begin(nothing, run, **CISCO)
        assert poller.result(PATIENCE) == MADE
        assert isinstance(poller.polling_method()._operation, LocationPolling)
        last = poller.polling_method()._pipeline_response.http_response
        assert (poller.status(), last.status_code, last.headers["Location"]) == ("Succeeded", 201, "/things/7/")
        assert last_request(poller) == f"unifiedconfig/config/asyncrequeststatus/{Idle.sent[0]}"

    @pytest.mark.seed("S003-5", "S003-6", "S003-18", "S003-19")
    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_put_and_delete_finish(self, begin, method):
        poller = begin(nothing, run, method=method, **CISCO)
        assert poller.result(PATIENCE) == (MADE if method == "PUT" else {"deleted": 7})
        assert poller.polling_method()._pipeline_response.http_response.status_code == 200

    def test_poller_sleeps_for_retry_after(self, begin):
        poller = begin(nothing, run, **CISCO)
        poller.result(PATIENCE)
        assert slept(poller) == [1, 1]

    def test_failure_is_the_views_error_response(self, begin):
        poller = begin(nothing, run, data=TAKEN, **CISCO)
        with pytest.raises(HttpResponseError) as caught:
            poller.result(PATIENCE)
        assert (caught.value.status_code, caught.value.response.json()) == (409, {"name": ["This name is taken."]})

    def test_cancellation_is_a_410(self, begin):
        poller = begin(nothing, cancel, **CISCO)
        with pytest.raises(HttpResponseError) as caught:
            poller.result(PATIENCE)
        assert caught.value.status_code == 410
        assert caught.value.response.json()["apiError"][0]["errorType"] == "asyncRequest.cancelled"


@pytest.fixture
def session(server):
    """An authenticated session of ``requests`` that knows the server's URL."""
    with requests.Session() as session:
        session.auth = ("anna", "secret")
        session.base = server
        yield session


def follow(session, address, steps):
    """Poll as a client of RFC 7240: until the answer is no longer 202, then follow the redirect."""
    statuses = []
    while (response := session.get(address, allow_redirects=False)).status_code == 202:
        statuses.append(response.json()["state"])
        assert int(response.headers["Retry-After"]) >= 1
        address = response.headers["Location"]
        steps.pop(0)()
    assert response.status_code == 303
    return statuses, session.get(response.headers["Location"])


class TestPlainClient:
    def kick_off(self, session, data=THING, **headers):
        return session.post(f"{session.base}/things/", json=data, headers={**PREFER, **headers})

    def test_202_and_303_lead_to_the_response(self, session):
        accepted = self.kick_off(session)
        assert (accepted.status_code, accepted.headers["Preference-Applied"]) == (202, "respond-async")
        statuses, result = follow(session, accepted.headers["Location"], [nothing, run])
        assert statuses == ["PENDING", "PENDING"]
        assert (result.status_code, result.json(), result.headers["AsyncResult"]) == (201, MADE, "201")
        assert result.headers["Location"] == "/things/7/"

    def test_error_of_the_view_is_the_response(self, session):
        _, result = follow(session, self.kick_off(session, TAKEN).headers["Location"], [run])
        assert (result.status_code, result.headers["AsyncResult"]) == (409, "409")
        assert result.json() == {"name": ["This name is taken."]}

    def test_delete_cancels_the_call(self, session):
        address = self.kick_off(session).headers["Location"]
        assert session.delete(address).status_code == 204
        _, result = follow(session, address, [])
        assert (result.status_code, result.headers["Content-Type"]) == (410, "application/problem+json")

    def test_response_in_time_is_sent_at_once(self, session):
        def work():
            try:
                runner.run(until(lambda: Idle.sent)[0])
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            response = self.kick_off(session, Prefer="respond-async, wait=15")
            done.result(PATIENCE)
        assert (response.status_code, response.json()) == (201, MADE)
        assert response.headers["Preference-Applied"] == "respond-async, wait=15"

    @pytest.mark.seed("S003-3")
    def test_several_cisco_calls_run_at_a_time(self, session):
        addresses = []
        for number in (1, 2, 3):
            url = f"{session.base}/unifiedconfig/config/things/?async=true"
            addresses.append(session.post(url, json={"name": f"lamp {number}"}).headers["Location"])
        assert [session.get(address).status_code for address in addresses] == [202, 202, 202]
        run_alone(Idle.sent[1])
        answers = [session.get(address) for address in addresses]
        assert [answer.status_code for answer in answers] == [202, 201, 202]
        assert answers[1].json()["name"] == "lamp 2"
