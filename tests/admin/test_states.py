"""The admin over everything that real runs leave behind, with default settings: no page is a server error.

As a module it is also a URLconf.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from cryptography.fernet import Fernet
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from oauth2_provider.models import Application

from django_asyncexchange import encryption
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base.webhooks import WebhookFields
from django_asyncexchange.models import AsyncTask, Body, Delivery, DeliveryAttempt, Webhook
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.webhooks import subscriptions

from .. import owners, services
from ..screens import measured
from ..services import IDLE, exchange, run_alone, soon

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SITE = "/admin/asyncexchange/"
MODELS = ("asynctask", "webhook", "delivery")
FORMER = [Fernet.generate_key().decode()]
"""Keys that the project had once."""
HOSTILE = "<script>alert(1)</script>{{ 7 }}{% now %}\u202e"
LINK = re.compile(r'href="([^"]+)"')
ACTION = re.compile(r'<option value="(\w+)">')


def hostile(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        f'{{"{HOSTILE}": "\\ud800", "password": "hunter2"}}'.encode(), content_type="application/json; charset=<script>"
    )


def binary(request: HttpRequest) -> HttpResponse:
    return HttpResponse(bytes(range(256)) * 1000, content_type="image/png")


for view in (hostile, binary):
    view.async_exchange = True

urlpatterns = [
    *services.urlpatterns,
    *owners.urlpatterns,
    path("admin/", admin.site.urls),
    path("hostile/", hostile),
    path("binary/", binary),
    path("accounts/", include("django.contrib.auth.urls")),
]


@pytest.fixture(autouse=True)
def defaults(settings: Any) -> None:
    """Default settings except the executor: tests run the tasks."""
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True, **owners.HOOKS)


def called(client: Client, path: str = "/ran/", **more: Any) -> AsyncTask:
    """A task submitted over HTTP and not run."""
    before = set(AsyncTask.objects.values_list("pk", flat=True))
    method = more.pop("method", "get")
    answer = getattr(client, method)(path, headers={"Prefer": "respond-async", **more.pop("headers", {})}, **more)
    assert answer.status_code == 202, answer.content
    return AsyncTask.objects.exclude(pk__in=before).get()


def ran(client: Client, path: str = "/ran/", **more: Any) -> AsyncTask:
    task = called(client, path, **more)
    run_alone(task.pk)
    task.refresh_from_db()
    return task


def left_by_runs(anna: Client) -> dict[str, AsyncTask]:
    """Tasks of every outcome, by name."""
    form = {"city": HOSTILE, "scan": SimpleUploadedFile(f"{HOSTILE}.png", b"\0\xff" * 50_000)}
    left = {
        "waiting": called(anna),
        "waiting with a form": called(anna, method="post", data=form),
        "done": ran(anna),
        "a form": ran(anna, method="post", data=form),
        "json": ran(anna, method="post", data={"a": 1}, content_type="application/json"),
        "hostile": ran(anna, f"/hostile/?q={HOSTILE}"),
        "binary, in a file": ran(anna, "/binary/"),
        "huge": ran(anna, "/fills/300000/"),
        "empty": ran(anna, "/fills/0/"),
        "refused": ran(anna, "/answers/404/"),
        "unavailable": ran(anna, "/answers/503/"),
        "raised": ran(anna, "/raises/"),
        "anonymous": ran(Client()),
    }
    for reason in Reason:
        task = called(anna)
        lifecycle.fail(lifecycle.claim(task.pk), reason)
        left[f"error, {reason.value}"] = task
    left["running"] = lifecycle.claim(called(anna, method="post", data=form).pk).task
    left["cancelled before it ran"] = called(anna)
    lifecycle.cancel(left["cancelled before it ran"])
    left["cancelled as it ran"] = lifecycle.claim(called(anna).pk).task
    lifecycle.cancel(left["cancelled as it ran"])
    left["released"] = called(anna)
    lifecycle.release(lifecycle.claim(left["released"].pk))
    left["storage gone"] = ran(anna, "/binary/")
    bodies.storage().delete(left["storage gone"].bodies.get().name)
    left["expired"] = ran(anna, "/fills/10/")
    left["expired and pruned"] = ran(anna, "/fills/10/")
    AsyncTask.objects.filter(pk__in=[left[f"expired{more}"].pk for more in ("", " and pruned")]).update(
        deletion_date=soon(hours=-1)
    )
    bodies.delete(Body.objects.of_expired_tasks().filter(task=left["expired and pruned"]))
    left["of a mount that was taken down"] = ran(anna)
    AsyncTask.objects.filter(pk=left["of a mount that was taken down"].pk).update(dialect="esperanto")
    left["waiting, of such a mount"] = called(anna)
    AsyncTask.objects.filter(pk=left["waiting, of such a mount"].pk).update(dialect="esperanto")
    otto = Client()
    otto.force_login(leaver := User.objects.create(username=HOSTILE[:100]))
    left["of a user who was deleted"], left["waiting, of such a user"] = ran(otto), called(otto)
    leaver.delete()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, ENCRYPTION_KEYS=FORMER)):
        left["key lost"], left["key lost, waiting"] = ran(anna), called(anna, method="post", data=form)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, KEEP_REQUESTS=True)):
        left["kept"] = ran(anna, method="post", data=form)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, KEEP_REQUESTS=True, ENCRYPTION_KEYS=FORMER)):
        left["kept, key lost"] = ran(anna, method="post", data=form)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, KEEP_REQUESTS=True)):
        return left | left_by_others()


def left_by_others() -> dict[str, AsyncTask]:
    """Tasks of callers who are no users, existing and deleted."""
    group = Group.objects.create(name="a group's key")
    callers = {
        "an application": (owners.application("an application"), "/by/oauth/"),
        "an application that was deleted": (owners.application("a former one"), "/by/oauth/"),
        "a caller with a name": (owners.named(HOSTILE), "/by/name/"),
        "a key": (owners.holder(f"{owners.LETTER}one"), "/by/key"),
        "a key of a row": (owners.holder(group.name), "/by/key"),
        "a key of a row that was deleted": (owners.holder(Group.objects.create(name="former").name), "/by/key"),
    }
    left = {f"of {name}": ran(*caller) for name, caller in callers.items()}
    left |= {f"waiting, of {name}": called(*caller) for name, caller in callers.items()}
    assert {task.state for name, task in left.items() if name.startswith("of")} == {State.DONE}
    Application.objects.filter(name="a former one").delete()
    Group.objects.filter(name="former").delete()
    return left


def deliveries_in_every_state(anna: Client) -> Iterator[Delivery]:
    """Webhooks and deliveries in every state."""
    task = ran(anna)
    for number, enabled in enumerate((True, False)):
        fields = WebhookFields(url=f"https://example.com/{number}?token=hunter2", action="PROCESSED", enabled=enabled)
        made = subscriptions.create(conf.dialect("prefer"), Owner(account=task.account, id="7"), None, fields)
        webhook = Webhook.objects.get(pk=made.id)
        for state in Delivery.STATES:
            for url in (encryption.seal_secret(webhook.url), "gAAAAsealed-with-a-lost-key", ""):
                row = Delivery.objects.create(
                    webhook=webhook if url else None,
                    task=task,
                    event="PROCESSED" if url else Delivery.CALLBACK,
                    method="POST",
                    url=url,
                    host="example.com",
                    state=state,
                    body=HOSTILE,
                )
                DeliveryAttempt.objects.create(delivery=row, status_code=503, milliseconds=7, answer=HOSTILE)
                DeliveryAttempt.objects.create(delivery=row, milliseconds=7, error="timeout")
                yield row
        Webhook.objects.filter(pk=webhook.pk).update(dialect="esperanto" if number else "prefer")


@pytest.fixture
def anna() -> Client:
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return client


@pytest.fixture
def left(anna: Client) -> dict[str, AsyncTask]:
    return left_by_runs(anna)


@pytest.fixture
def webhooks(anna: Client) -> list[Webhook]:
    list(deliveries_in_every_state(anna))
    return list(Webhook.objects.order_by("url"))


def staff(*verbs: str) -> Client:
    """A staff client with these permissions; ``superuser`` has all."""
    user = User.objects.create(username="clerk", is_staff=True, is_superuser="superuser" in verbs)
    names = [f"{verb}_{model}" for verb in verbs for model in MODELS]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str) -> str:
    answer = client.get(address, follow=True)
    assert answer.status_code == 200, address
    return answer.content.decode()


def links(text: str, address: str) -> set[str]:
    """The pages of this app that ``text`` links to, without histories, which are all alike."""
    found = {urldefrag(urljoin(address, link))[0] for link in LINK.findall(html.unescape(text))}
    return {link for link in found if link.startswith(SITE) and not link.endswith(("/add/", "/delete/", "/history/"))}


def walk(client: Client, ahead: set[str], *, further: bool) -> set[str]:
    """Request these pages, and with ``further`` those that they link to; returns all URLs."""
    seen: set[str] = set()
    while ahead:
        seen.add(address := ahead.pop())
        text = page(client, address)
        assert "DatabaseDefault" not in text and "<script>alert" not in text, address
        if further and not urlsplit(address).query:
            ahead |= links(text, address) - seen
    return seen


def test_no_page_filter_search_or_order_is_a_server_error(left: Any, webhooks: Any):
    lists = {f"{SITE}{model}/" for model in MODELS}
    queries = ("q=anna", "q=%00", "q=%27", "o=-3.2&p=2", "o=99", "p=x", "state__exact=%00", "action__exact=%00", "all=")
    odd = {f"{at}?{query}" for at in lists for query in queries} | {f"{SITE}asynctask/?dialect=%00"}
    odd |= {f"{SITE}webhook/add/"}
    seen = walk(staff("superuser"), lists | odd, further=True)
    shown = {address.split("/")[4] for address in seen if address.endswith("/change/")}
    assert shown >= {str(task.pk) for task in left.values()}


@pytest.mark.parametrize("verb", ["view", "change", "delete"])
def test_no_page_is_a_server_error_with_fewer_permissions(webhooks: Any, verb: str):
    client = staff(verb, "view")
    pages = {f"{SITE}{model}/" for model in MODELS}
    for model in (AsyncTask, Webhook, Delivery):
        for row in model.objects.all()[:3]:
            pages |= {f"{SITE}{model._meta.model_name}/{row.pk}/{what}/" for what in ("change", "history")}
    walk(client, pages, further=False)


def test_no_action_is_a_server_error(left: Any, webhooks: Any):
    client = staff("superuser")
    for model in (Delivery, AsyncTask, Webhook):
        address = f"{SITE}{model._meta.model_name}/"
        for name in ACTION.findall(page(client, address)):
            chosen = [str(pk) for pk in model.objects.values_list("pk", flat=True)]
            for confirmation in ({}, {"confirmed": "yes", "post": "yes"}):
                answer = client.post(address, {"action": name, "_selected_action": chosen, **confirmation}, follow=True)
                assert answer.status_code == 200, name
    assert set(AsyncTask.objects.values_list("state", flat=True)) <= {State.PENDING}
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("verbs", [("view",), ("superuser",)], ids="".join)
def test_full_webhook_url_needs_the_change_permission(webhooks: Any, verbs: tuple[str, ...]):
    text = page(staff(*verbs), f"{SITE}webhook/{webhooks[0].pk}/change/")
    assert ("hunter2" in text) == ("superuser" in verbs)


def test_change_of_a_webhook_of_a_removed_mount_is_a_form_error(webhooks: Any):
    [webhook] = [webhook for webhook in webhooks if webhook.dialect == "esperanto"]
    form = {"action": "PROCESSED", "url": "https://example.com/other", "enabled": "on"}
    answer = staff("superuser").post(f"{SITE}webhook/{webhook.pk}/change/", form)
    assert "The dialect is no longer mounted." in answer.content.decode()


@pytest.mark.parametrize("field", ["url", "account"])
def test_unstorable_character_is_a_form_error(field: str, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise DataError("no such letter")

    monkeypatch.setattr(Webhook, "save", refuse)
    form = {
        "dialect": "prefer",
        "account": "one",
        "action": "PROCESSED",
        "url": "https://example.com/",
        "enabled": "on",
    }
    answer = staff("superuser").post(f"{SITE}webhook/add/", {**form, field: f"{form[field]}ж"}, follow=True)
    assert answer.status_code == 200 and "This address cannot be called." in answer.content.decode()


# Buttons


BUTTON = re.compile(r'action="(\S+/act/(\w+)/)">.*?<button type="submit"( disabled)?>')


def buttons(client: Client, address: str) -> dict[str, tuple[str, bool]]:
    """Name → (URL, enabled) of the buttons on a page."""
    found = BUTTON.findall(page(client, address))
    return {name: (urljoin(address, target), not disabled) for target, name, disabled in found}


def at(row: Any) -> str:
    return f"{SITE}{row._meta.model_name}/{row.pk}/change/"


@pytest.mark.parametrize("verb", ["superuser", "view", "change", "delete"])
def test_buttons_follow_the_permissions(anna: Client, verb: str):
    waiting, done = called(anna), ran(anna)
    client = staff("view", verb)
    may = {"superuser": {"cancel", "rerun", "prune"}, "view": set(), "change": {"cancel", "rerun"}, "delete": {"prune"}}
    assert set(buttons(client, at(waiting))) == may[verb] & {"cancel"}
    assert set(buttons(client, at(done))) == may[verb] & {"rerun", "prune"}


def test_button_runs_its_action_and_returns_to_the_page(anna: Client):
    task = called(anna)
    client = staff("superuser")
    answer = client.post(buttons(client, at(task))["cancel"][0], follow=True)
    assert answer.redirect_chain == [(at(task), 302)]
    task.refresh_from_db()
    assert task.state == State.CANCEL and "1 task was cancelled." in answer.content.decode()


def test_prune_button_asks_for_confirmation_and_leads_to_the_list(anna: Client):
    task = ran(anna)
    client = staff("superuser")
    address = buttons(client, at(task))["prune"][0]
    assert "1 finished task will be deleted" in client.post(address).content.decode()
    answer = client.post(address, {"action": "prune", "confirmed": "yes"}, follow=True)
    assert answer.redirect_chain == [(f"{SITE}asynctask/", 302)] and not AsyncTask.objects.exists()


def test_rerun_button_is_disabled_without_the_captured_request(anna: Client):
    client, task = staff("superuser"), ran(anna)
    assert buttons(client, at(task))["rerun"][1] is False
    assert "Rerun: The captured request has been erased (KEEP_REQUESTS)." in page(client, at(task))


def test_resend_button_resends_the_delivery(webhooks: Any):
    row = Delivery.objects.filter(state=Delivery.FAILED, webhook__enabled=True).first()
    client = staff("superuser")
    client.post(buttons(client, at(row))["resend"][0])
    row.refresh_from_db()
    assert row.state == Delivery.WAITING
    assert buttons(client, at(row))["resend"][1] is False


@pytest.mark.parametrize(("method", "verb", "status"), [("get", "superuser", 405), ("post", "view", 403)])
def test_button_needs_post_and_the_permission(anna: Client, method: str, verb: str, status: int):
    task = called(anna)
    address = f"{SITE}asynctask/{task.pk}/act/cancel/"
    assert getattr(staff(verb), method)(address).status_code == status
    task.refresh_from_db()
    assert task.state == State.PENDING


def test_button_needs_a_csrf_token(anna: Client):
    task, strict = called(anna), Client(enforce_csrf_checks=True)
    staff("superuser")
    strict.force_login(User.objects.get(username="clerk"))
    assert strict.post(f"{SITE}asynctask/{task.pk}/act/cancel/").status_code == 403


@pytest.mark.parametrize("wrong", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_button_of_a_missing_row_redirects_to_the_list(wrong: str):
    answer = staff("superuser").post(f"{SITE}asynctask/{wrong}/act/cancel/")
    assert (answer.status_code, answer["Location"]) == (302, f"{SITE}asynctask/")


MISSED = "Is a worker running?"


def test_list_warns_that_no_worker_runs(anna: Client):
    task, client = called(anna), staff("superuser")
    assert MISSED not in page(client, f"{SITE}asynctask/")
    AsyncTask.objects.filter(pk=task.pk).update(sent=soon(minutes=-2))
    assert MISSED in page(client, f"{SITE}asynctask/")
    lifecycle.claim(called(anna).pk)
    assert MISSED not in page(client, f"{SITE}asynctask/")


# Small screens

LIST = """[
    document.querySelector(".results").clientWidth,
    document.querySelector("#result_list").scrollWidth,
    Math.max(...[...document.querySelector("#result_list").rows].map((row) => Math.round(row.clientHeight / 16))),
]"""
PAGE = """[
    document.documentElement.clientWidth,
    document.documentElement.scrollWidth,
    [...document.querySelectorAll(".form-row")].filter((row) => row.scrollWidth > row.clientWidth).length,
]"""


def with_long_names(**fields: Any) -> AsyncTask:
    owner, _ = User.objects.get_or_create(username="o" * 150)
    return services.stored(**{"owner": owner, "account": "a" * 150, "dialect": "prefer", **fields})


@pytest.mark.service
def test_list_with_long_names_fits_a_small_screen(tmp_path: Path):
    for number in range(5):
        with_long_names(state=list(State)[number], to=f"/{'x' * 500}/{number}")
    text = page(staff("superuser"), f"{SITE}asynctask/")
    room, width, lines = measured(text, LIST, tmp_path, "list")
    assert 0 < width <= room and lines <= 10


@pytest.mark.service
def test_failed_task_with_long_names_fits_a_small_screen(tmp_path: Path):
    task = with_long_names(to=f"/raises/?q={'x' * 500}")
    lifecycle.fail(lifecycle.claim(task.pk), Reason.EXCEPTION, f"ValueError: {'y' * 500}")
    room, width, cut = measured(page(staff("superuser"), at(task)), PAGE, tmp_path, "failed-task")
    assert 0 < width <= room and cut == 0


@pytest.fixture
def long_names() -> dict[str, Any]:
    """A webhook and a delivery, by model name."""
    task = with_long_names(state=State.DONE)
    url = f"https://example.com/{'x' * 500}"
    webhook = Webhook.objects.create(dialect="prefer", account=task.account, url=url, action="PROCESSED")
    delivery = Delivery.objects.create(
        webhook=webhook, task=task, event="PROCESSED", method="POST", url=encryption.seal_secret(url), body="y" * 500
    )
    DeliveryAttempt.objects.create(delivery=delivery, status_code=503, milliseconds=7, answer="z" * 500)
    return {"webhook": webhook, "delivery": delivery}


@pytest.mark.service
@pytest.mark.parametrize("model", ["webhook", "delivery"])
def test_list_row_with_a_long_url_is_a_few_lines(tmp_path: Path, model: str, long_names: dict[str, Any]):
    *_, lines = measured(page(staff("superuser"), f"{SITE}{model}/"), LIST, tmp_path, f"{model}-list")
    assert 0 < lines <= 10


@pytest.mark.service
@pytest.mark.parametrize("model", ["webhook", "delivery"])
def test_page_with_a_long_url_fits_a_small_screen(tmp_path: Path, model: str, long_names: dict[str, Any]):
    room, width, cut = measured(page(staff("superuser"), at(long_names[model])), PAGE, tmp_path, model)
    assert 0 < width <= room and cut == 0
