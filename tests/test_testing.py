"""Helpers for a project's tests: accepted calls run inside a test, with or without a transaction; recorded webhooks."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import AsyncClient, TestCase, TransactionTestCase, override_settings
from django_q.models import OrmQ
from rest_framework.test import APIClient

from django_asyncexchange import testing
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base.webhooks import WebhookFields
from django_asyncexchange.models import Delivery, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.webhooks import subscriptions, transport

from .services import exchange, runs

LATER = {"Prefer": "respond-async"}
DEFAULT = exchange(EXECUTOR="django_asyncexchange.executors.django_q.DjangoQ")
BROKERS = [
    "django_asyncexchange.executors.django_q.DjangoQ",
    "django_asyncexchange.executors.celery.Celery",
    "django_asyncexchange.executors.inline.Inline",
]


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Set up first and checked last: the settings are restored, in whatever order a test has changed them."""
    before = conf.raw
    yield
    assert conf.raw == before


@pytest.fixture
def anna(db):
    return get_user_model().objects.create_user("anna", password="secret")


pytestmark = pytest.mark.urls("tests.services")


class Calls(testing.AsyncExchangeTestMixin):
    """Tests of a project, in each kind of test case."""

    def setUp(self):
        super().setUp()
        self.client.force_login(get_user_model().objects.create_user("anna"))

    def test_accepted_call_is_pending_until_the_test_runs_it(self):
        accepted = self.client.get("/ran/", headers=LATER)
        self.assertEqual((accepted.status_code, runs()), (202, 0))
        [task] = self.async_worker.run()
        self.assertEqual((task.state, task.status_code, runs()), (State.DONE, 200, 1))

    def test_location_of_the_202_leads_to_the_response(self):
        accepted = self.client.post("/ran/", {"a": 1}, content_type="application/json", headers=LATER)
        self.async_worker.run()
        answer = self.client.get(accepted["Location"], follow=True)
        self.assertEqual((answer.status_code, answer.json()["body"]), (200, '{"a": 1}'))

    def test_location_answers_202_before_the_run(self):
        accepted = self.client.get("/ran/", headers=LATER)
        self.assertEqual(self.client.get(accepted["Location"]).status_code, 202)

    def test_exception_of_a_view_ends_the_task_in_error(self):
        self.client.get("/raises/", headers=LATER)
        with self.assertLogs("django.request", "ERROR"):
            [task] = self.async_worker.run()
        self.assertEqual((task.state, task.status_code), (State.ERROR, 500))

    def test_writes_of_the_view_are_visible(self):
        Group.objects.create(name="before")
        self.async_worker.answer(self.client.get("/ran/", headers=LATER), self.client)
        self.assertEqual(Group.objects.count(), 2)


@override_settings(ASYNC_EXCHANGE=DEFAULT, ROOT_URLCONF="tests.services")
class TestWithinTransactions(Calls, TestCase):
    pass


@override_settings(ASYNC_EXCHANGE=DEFAULT, ROOT_URLCONF="tests.services")
class TestWithCommits(Calls, TransactionTestCase):
    pass


del Calls


@pytest.mark.parametrize("executor", BROKERS)
@pytest.mark.django_db(transaction=True)
def test_executor_of_the_project_is_replaced(settings, executor, client, admin_user):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=executor)
    client.force_login(admin_user)
    with testing.worker() as worker:
        client.get("/ran/", headers=LATER)
        assert (worker.tasks.get().state, runs()) == (State.PENDING, 0)
        assert not OrmQ.objects.exists()
        worker.run()
        assert (worker.tasks.get().state, runs()) == (State.DONE, 1)


def test_calls_beyond_the_share_are_run(settings, async_worker, client, anna):
    settings.ASYNC_EXCHANGE = settings.ASYNC_EXCHANGE | {"DIALECTS": {"prefer": {"SHARE": 1}}}
    client.force_login(anna)
    for _ in range(3):
        client.get("/ran/", headers=LATER)
    assert [task.state for task in async_worker.run()] == [State.DONE] * 3


def test_calls_are_run_in_order(async_worker, client, anna):
    client.force_login(anna)
    for number in (3, 1, 2):
        client.get(f"/ran/{number}", headers=LATER)
    assert [task.url[-1] for task in async_worker.run()] == ["3", "1", "2"]


def test_call_runs_once(async_worker, client, anna):
    client.force_login(anna)
    client.get("/ran/", headers=LATER)
    assert len(async_worker.run()) == 1
    assert async_worker.run() == []
    assert runs() == 1


def test_force_authenticate_runs_as_that_user(async_worker, anna):
    client = APIClient()
    client.force_authenticate(anna)
    accepted = client.get("/throttled/", headers=LATER)
    answer = async_worker.answer(accepted, client)
    assert answer.json() == {"ok": True}
    assert async_worker.tasks.get().owner == anna


async def by_the_asynchronous_client(user):
    client = AsyncClient()
    await client.aforce_login(user)
    return await client.get("/ran/", headers=LATER)


def test_call_of_the_async_client_is_run(async_worker, client, anna):
    accepted = async_to_sync(by_the_asynchronous_client)(anna)
    client.force_login(anna)
    assert async_worker.answer(accepted, client).status_code == 200


def test_response_that_is_no_202_raises(async_worker, client, anna):
    client.force_login(anna)
    with pytest.raises(AssertionError, match="200 instead of 202"):
        async_worker.answer(client.get("/ran/"), client)


def test_stored_answer_is_the_views_response(async_worker, client, anna):
    client.force_login(anna)
    client.get("/answers/418/", headers=LATER)
    [task] = async_worker.run()
    answer = testing.stored_answer(task)
    assert (answer.status_code, answer.content, answer["X-Own"]) == (418, b"the answer", "kept")


def test_stored_answer_of_a_pending_task_raises(async_worker, client, anna):
    client.force_login(anna)
    client.get("/ran/", headers=LATER)
    with pytest.raises(ValueError, match="has no response"):
        testing.stored_answer(async_worker.tasks.get())


# Webhooks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hooked(anna, client):
    """A client whose account has a webhook."""
    fields = WebhookFields(url="https://hooks.example.com/async", action="PROCESSED")
    subscriptions.create(conf.dialect("prefer"), Owner(account=str(anna.pk)), anna.pk, fields)
    client.force_login(anna)
    return client


@pytest.fixture
def offline(monkeypatch):
    """Sending raises."""

    def refused(*args, **kwargs):
        raise AssertionError("something was sent")

    monkeypatch.setattr(transport.socket, "socket", refused)


def test_webhook_is_recorded_instead_of_sent(async_worker, hooked, offline):
    hooked.get("/ran/", headers=LATER)
    async_worker.run()
    [message] = async_worker.deliver()
    assert (message.event, message.method, message.url) == ("PROCESSED", "POST", "https://hooks.example.com/async")
    assert message.json()["data"]["id"] == str(async_worker.tasks.get().pk)
    assert message.headers["webhook-signature"].startswith("v1,")
    assert async_worker.messages == [message]


def test_delivery_is_recorded_as_delivered(async_worker, hooked):
    hooked.get("/ran/", headers=LATER)
    async_worker.run()
    async_worker.deliver()
    assert Delivery.objects.get().state == Delivery.DELIVERED
    assert async_worker.deliver() == []


def test_failed_delivery_is_retried_later(async_worker, hooked):
    hooked.get("/ran/", headers=LATER)
    async_worker.run()
    async_worker.deliver(status=503)
    assert (Delivery.objects.get().state, async_worker.deliver()) == (Delivery.WAITING, [])


def test_410_disables_the_webhook(async_worker, hooked):
    hooked.get("/ran/", headers=LATER)
    async_worker.run()
    async_worker.deliver(status=410)
    assert not Webhook.objects.get().enabled


def test_callback_is_recorded(async_worker, client, anna):
    client.force_login(anna)
    client.get("/ran/", headers={"Prefer": 'respond-async, callback;url="https://me.example.com/done"'})
    async_worker.run()
    assert [message.url for message in async_worker.deliver()] == ["https://me.example.com/done"]


def test_executor_of_the_project_is_restored(settings):
    before = settings.ASYNC_EXCHANGE
    with testing.worker():
        pass
    assert before == settings.ASYNC_EXCHANGE
