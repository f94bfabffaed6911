"""Stored data of a user is deleted with the user, or by command."""

from __future__ import annotations

import io

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.urls import include, path

from django_asyncexchange import encryption
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base.webhooks import WebhookFields
from django_asyncexchange.models import Account, AsyncTask, Body, Delivery, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.tasks import lifecycle, personal_data, pruning
from django_asyncexchange.webhooks import subscriptions
from django_asyncexchange.worker import runner

from .. import services
from ..services import IDLE, exchange, run_alone, runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

urlpatterns = [
    *services.urlpatterns,
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
]


class Proxied(User):
    class Meta:
        proxy = True
        app_label = "project_under_test"


@pytest.fixture(autouse=True)
def defaults(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


def called(client, address="/ran/", **headers):
    before = set(AsyncTask.objects.values_list("pk", flat=True))
    answer = client.post(address, headers={"Prefer": "respond-async", **headers})
    assert answer.status_code == 202
    return AsyncTask.objects.exclude(pk__in=before).get(), answer["Location"]


def left_by(name):
    """One of each kind of stored data: (user, client, URL of a result)."""
    user = User.objects.create(username=name)
    client = Client()
    client.force_login(user)
    task, address = called(client, "/fills/200000/", **{"Idempotency-Key": "one"})
    run_alone(task.pk)
    called(client)
    lifecycle.claim(called(client)[0].pk)
    fields = WebhookFields(url="https://example.com/", action="PROCESSED")
    subscriptions.create(conf.dialect("prefer"), Owner(account=task.account, id=str(user.pk)), user.pk, fields)
    subscriptions.callback_secret("prefer", task.account)
    Delivery.objects.create(
        task=task,
        event="CALLBACK",
        method="POST",
        url=encryption.seal_secret("https://example.com/"),
        host="example.com",
    )
    return user, client, address


def served(client, address):
    return client.get(address, follow=True).getvalue()


def files():
    return [body.name for body in Body.objects.exclude(name="") if storages["asyncexchange"].exists(body.name)]


def rows():
    return {model.__name__: model.objects.count() for model in (AsyncTask, Body, Delivery, Webhook, Account)}


NOTHING = {"AsyncTask": 0, "Body": 0, "Delivery": 0, "Webhook": 0, "Account": 0}


def by_the_admin(user):
    User.objects.create_superuser("chief", password="x")
    site = Client()
    site.force_login(User.objects.get(username="chief"))
    assert site.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"}).status_code == 302


WAYS = {
    "instance": lambda user: user.delete(),
    "queryset": lambda user: User.objects.filter(pk=user.pk).delete(),
    "admin": by_the_admin,
}


@pytest.mark.parametrize("way", WAYS)
def test_data_of_a_user_is_deleted_with_the_user(way):
    user, _, _ = left_by("anna")
    names = files()
    WAYS[way](user)
    pruning.prune()
    assert rows() == NOTHING
    assert names and not any(storages["asyncexchange"].exists(name) for name in names)


def test_nothing_is_served_or_sent_between_the_deletion_and_the_prune():
    user, client, address = left_by("anna")
    assert b"xxx" in served(client, address)
    other = Client()
    other.force_login(User.objects.create_superuser("chief"))
    user.delete()
    assert b"xxx" not in served(other, address)
    assert not Webhook.objects.exists() and not Delivery.objects.exists()


def test_unfinished_calls_are_cancelled():
    user, _, _ = left_by("anna")
    unfinished = list(AsyncTask.objects.unfinished())
    user.delete()
    for task in unfinished:
        runner.run(str(task.pk))
    assert {AsyncTask.objects.get(pk=task.pk).state for task in unfinished} == {State.CANCEL}
    assert runs() == 0


def test_data_of_other_users_is_kept():
    left_by("otto")
    before = rows()
    left_by("anna")[0].delete()
    pruning.prune()
    assert rows() == before


def test_rolled_back_deletion_changes_nothing():
    user, client, address = left_by("anna")
    before = rows(), list(AsyncTask.objects.order_by("pk").values("state", "deletion_date", "owner"))
    with transaction.atomic():
        User.objects.filter(pk=user.pk).delete()
        transaction.set_rollback(True)
    assert (rows(), list(AsyncTask.objects.order_by("pk").values("state", "deletion_date", "owner"))) == before
    assert b"xxx" in served(client, address)


def test_on_user_delete_keep_keeps_the_data(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ON_USER_DELETE="keep")
    user, _, _ = left_by("anna")
    before = rows()
    user.delete()
    pruning.prune()
    assert rows() == before and not AsyncTask.objects.exclude(owner=None).exists()


def test_shared_account_loses_the_users_tasks_and_keeps_its_webhook(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, OWNER="tests.services.company")
    User.objects.create(username="otto", last_name="anna ltd")
    user = User.objects.create(username="anna", last_name="anna ltd")
    client = Client()
    client.force_login(user)
    called(client)
    fields = WebhookFields(url="https://example.com/", action="PROCESSED")
    owner = Owner(account="anna ltd", id=str(user.pk))
    subscriptions.create(conf.dialect("prefer"), owner, user.pk, fields)
    user.delete()
    pruning.prune()
    assert not AsyncTask.objects.exists()
    assert Webhook.objects.values_list("account", "owner", "owner_reference").get() == ("anna ltd", None, "")


def test_account_named_like_the_primary_key_is_kept(settings):
    """With the project's own accounts, number 7 may be a company."""
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, OWNER="tests.services.company")
    user = User.objects.create(username="anna", last_name="x")
    theirs = services.stored(State.DONE, account=str(user.pk), dialect="prefer")
    user.delete()
    pruning.prune()
    assert AsyncTask.objects.get() == theirs


def forget(*arguments):
    told = io.StringIO()
    call_command("asyncexchange_forget", *arguments, stdout=told)
    return told.getvalue().strip()


def test_forget_command_deletes_the_data_of_an_existing_user():
    user, _, _ = left_by("anna")
    names = files()
    assert forget("anna") == "3 tasks and 1 webhooks were deleted"
    assert rows() == NOTHING and User.objects.filter(pk=user.pk).exists()
    assert names and not any(storages["asyncexchange"].exists(name) for name in names)


def test_forget_command_deletes_the_data_of_a_deleted_user_by_pk(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ON_USER_DELETE="keep")
    user, _, _ = left_by("anna")
    key = user.pk
    user.delete()
    assert forget("--pk", str(key)) == "3 tasks and 1 webhooks were deleted"
    assert rows() == NOTHING


@pytest.mark.parametrize("arguments", [("nobody",), ("--pk", "x")])
def test_forget_command_refuses_an_unknown_user(arguments):
    with pytest.raises(CommandError, match="there is no user"):
        forget(*arguments)


def test_file_that_cannot_be_deleted_is_reported_and_retried(monkeypatch):
    left_by("anna")

    def refuse(name):
        raise OSError("read-only")

    with monkeypatch.context() as broken:
        broken.setattr(storages["asyncexchange"], "delete", refuse)
        with pytest.raises(CommandError, match="1 tasks have files"):
            forget("anna")
    pruning.prune()
    assert rows() == NOTHING


def test_deletion_through_a_proxy_model_counts():
    personal_data.connect()
    user, _, _ = left_by("anna")
    Proxied.objects.get(pk=user.pk).delete()
    pruning.prune()
    assert rows() == NOTHING
