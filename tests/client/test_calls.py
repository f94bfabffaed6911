"""Calls with httpx and requests to a real server: what returns is what a synchronous call returns."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import requests
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client, override_settings

from django_asyncexchange.client.exceptions import CredentialsRejected, ResultGone, TaskCancelled, TaskFailed
from django_asyncexchange.client.httpx_transport import AsyncTransport, Transport
from django_asyncexchange.client.requests_adapter import AsyncExchangeAdapter
from django_asyncexchange.client.values import Options
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.tasks import lifecycle

from ..project.serving import asgi_server, wsgi_server
from ..project.wire import wire
from ..services import IDLE, exchange, run_alone, runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture(autouse=True)
def nothing_runs_by_itself():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield


@pytest.fixture
def cookie(db):
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    token = "a" * 32
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}", "X-CSRFToken": token}


def with_httpx(method, url, headers, options):
    with httpx.Client(transport=Transport(options)) as client:
        return client.request(method, url, headers=headers)


def with_requests(method, url, headers, options):
    with requests.Session() as session:
        session.mount("http://", AsyncExchangeAdapter(options))
        return session.request(method, url, headers=headers)


def with_asyncio(method, url, headers, options):
    async def call():
        async with httpx.AsyncClient(transport=AsyncTransport(options)) as client:
            return await client.request(method, url, headers=headers)

    return asyncio.run(call())


every_client = pytest.mark.parametrize("call", [with_httpx, with_asyncio, with_requests])


def meanwhile(work):
    """Options with which ``work`` is done, in a thread, between the 202 and the first poll."""

    def act():
        try:
            work(AsyncTask.objects.get())
        finally:
            connections.close_all()

    def on_progress(progress):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(act).result()

    return Options(on_progress=on_progress)


def meanwhile_all():
    """Options with which every call is run between its 202 and the first poll."""

    def on_progress(progress):
        for task in AsyncTask.objects.filter(state=State.PENDING):
            run(task)

    return Options(on_progress=on_progress)


def run(task):
    run_alone(task.pk)


def lose(task):
    lifecycle.fail(lifecycle.claim(task.pk), Reason.LOST)


@every_client
@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
def test_call_returns_the_response_of_the_view(cookie, call, server):
    with server() as port:
        response = call("POST", f"http://127.0.0.1:{port}/answers/201/", cookie, meanwhile(run))
    assert (response.status_code, response.content, response.headers["X-Own"]) == (201, b"the answer", "kept")
    assert AsyncTask.objects.get().state == State.DONE


@every_client
def test_error_of_the_view_is_raised_by_raise_for_status(cookie, call):
    with wsgi_server() as port:
        response = call("POST", f"http://127.0.0.1:{port}/answers/409/", cookie, meanwhile(run))
    with pytest.raises((httpx.HTTPStatusError, requests.HTTPError)):
        response.raise_for_status()


@every_client
@pytest.mark.parametrize(
    ("work", "error"),
    [
        (lose, TaskFailed),
        (lambda task: lifecycle.cancel(task), TaskCancelled),
        (lambda task: task.delete(), ResultGone),
        (lambda task: User.objects.update(is_active=False), CredentialsRejected),
    ],
    ids=["lost", "cancelled", "deleted", "logged out"],
)
def test_each_end_without_a_response_is_one_exception(cookie, call, work, error):
    with wsgi_server() as port, pytest.raises(error) as raised:
        call("POST", f"http://127.0.0.1:{port}/ran/", cookie, meanwhile(work))
    assert f":{port}/async/tasks/" in raised.value.status_url


@every_client
def test_poll_is_repeated_after_a_cut_connection_and_the_view_runs_once(cookie, call):
    with wsgi_server() as port, wire(port) as line:

        def cut(task):
            line.cut()
            line.mend()
            run(task)

        response = call("POST", f"http://127.0.0.1:{line.port}/ran/", cookie, meanwhile(cut))
    assert (response.status_code, runs(), AsyncTask.objects.count()) == (200, 1, 1)


def test_request_that_is_sent_twice_is_two_calls_with_httpx(cookie):
    with wsgi_server() as port, httpx.Client(transport=Transport(meanwhile_all())) as client:
        request = client.build_request("POST", f"http://127.0.0.1:{port}/ran/", headers=cookie)
        assert [client.send(request).status_code for _ in range(2)] == [200, 200]
    assert runs() == 2


def test_request_that_is_sent_twice_is_two_calls_with_requests(cookie):
    with wsgi_server() as port, requests.Session() as session:
        session.mount("http://", AsyncExchangeAdapter(meanwhile_all()))
        request = requests.Request("POST", f"http://127.0.0.1:{port}/ran/", headers=cookie).prepare()
        assert [session.send(request).status_code for _ in range(2)] == [200, 200]
    assert runs() == 2


@every_client
def test_interrupt_cancels_the_task(cookie, call):
    def interrupt(progress):
        raise KeyboardInterrupt

    with wsgi_server() as port, pytest.raises(KeyboardInterrupt):
        call("POST", f"http://127.0.0.1:{port}/ran/", cookie, Options(on_progress=interrupt))
    assert (AsyncTask.objects.get().state, runs()) == (State.CANCEL, 0)


def test_cancelled_asyncio_task_cancels_the_call(cookie):
    async def call(url):
        accepted = asyncio.Event()
        options = Options(on_progress=lambda progress: accepted.set())
        async with httpx.AsyncClient(transport=AsyncTransport(options)) as client:
            calling = asyncio.create_task(client.post(url, headers=cookie))
            await accepted.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling

    with wsgi_server() as port:
        asyncio.run(call(f"http://127.0.0.1:{port}/ran/"))
    assert AsyncTask.objects.get().state == State.CANCEL
