"""A run has the identity of its caller; revoked identities do not run; no credential is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asgiref.sync import markcoroutinefunction
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import RemoteUserMiddleware
from django.contrib.auth.models import AnonymousUser, User, UserManager
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps
from django.utils import timezone, translation
from rest_framework.authtoken.models import Token

from django_asyncexchange.executors import Executor
from django_asyncexchange.identity import snapshot, stamps
from django_asyncexchange.models import AsyncTask, Body, encode
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.worker import runner

from ..project import doors

pytestmark = pytest.mark.django_db(transaction=True)

SOLITUDE = {"Solitude-Async": "yes"}
BACKEND = "django.contrib.auth.backends.ModelBackend"
OTHER = f"{__name__}.OtherBackend"
FORMER = django_settings.SECRET_KEY
asked: list[tuple[str, bool]] = []


class OtherBackend(ModelBackend):
    """Another authentication backend."""


class Idle(Executor):
    """An executor that runs nothing."""

    def send(self, task_id, job="run"):
        pass


@pytest.fixture(autouse=True)
def fresh():
    doors.ran.clear()


@pytest.fixture
def later(settings):
    """Nothing runs until the test runs it."""
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "EXECUTOR": f"{__name__}.Idle"}


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", password="secret")


@pytest.fixture
def token(anna):
    return Token.objects.create(user=anna)


@pytest.fixture
def session(anna):
    client = Client()
    client.force_login(anna, BACKEND)
    return client


@pytest.fixture
def bearer(token):
    return Client(headers={"Authorization": f"Token {token.key}"})


def submit(client, path="/doors/unmarked/"):
    response = client.post(path, headers=SOLITUDE)
    assert response.status_code == 202
    return AsyncTask.objects.get()


def perform(task):
    runner.run(str(task.pk))
    task.refresh_from_db()
    return task.state, task.status_code


def content(task):
    return bytes(task.bodies.get(kind=Body.RESPONSE).content)


# Identity of a run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["person/", "async-person/"])
def test_view_runs_as_the_owner(session, path):
    assert content(submit(session, f"/zoo/{path}")) == b'{"user": "anna", "authenticated": true}'


def test_drf_view_runs_as_the_owner_with_the_token(bearer):
    assert content(submit(bearer, "/doors/closed/")) == b'{"user":"anna","auth":"Token","same":true}'


def test_drf_view_with_a_session_runs_without_a_token(session):
    assert content(submit(session, "/zoo/rest-function/")) == b'{"user":"anna","data":{},"query":{}}'


def test_anonymous_call_runs_as_anonymous(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ALLOW_ANONYMOUS": True}
    assert content(submit(Client(), "/zoo/person/")) == b'{"user": "", "authenticated": false}'


def test_anonymous_drf_call_runs_as_anonymous(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ALLOW_ANONYMOUS": True}
    assert content(submit(Client(), "/zoo/rest-function/")) == b'{"user":"","data":{},"query":{}}'


def test_view_runs_as_a_user_of_another_backend(anna, settings):
    settings.AUTHENTICATION_BACKENDS = [BACKEND, OTHER]
    client = Client()
    client.force_login(anna, OTHER)
    task = submit(client)
    assert (task.auth_backend, task.status_code) == (OTHER, 200)


def test_token_uses_the_first_backend_with_its_user(bearer, settings):
    settings.AUTHENTICATION_BACKENDS = [OTHER, BACKEND]
    assert submit(bearer, "/doors/closed/").auth_backend == OTHER


# Revoked identities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [lambda: User.objects.update(is_active=False), lambda: User.objects.all().delete()])
@pytest.mark.parametrize("path", ["/doors/unmarked/", "/doors/members/"])
def test_deactivated_or_deleted_user_does_not_run(session, later, settings, end, path):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ON_USER_DELETE": "keep"}
    task = submit(session, path)
    end()
    assert perform(task) == ("API_ERROR", 401)
    assert doors.ran == []


def test_user_hidden_by_the_default_manager_does_not_run(session, later, monkeypatch):
    hidden = []

    class Shown(UserManager):
        def get(self, **wanted):
            return super().exclude(username__in=hidden).get(**wanted)

    manager = Shown()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    assert perform(submit(session))[1] == 200
    AsyncTask.objects.all().delete()
    task = submit(session)
    hidden.append("anna")
    assert perform(task) == ("API_ERROR", 401)


def test_user_refused_by_user_can_authenticate_does_not_run(session, later, monkeypatch):
    task = submit(session)
    monkeypatch.setattr(OtherBackend, "user_can_authenticate", lambda self, user: False)
    AsyncTask.objects.update(auth_backend=OTHER)
    assert perform(task) == ("API_ERROR", 401)


def test_get_user_of_the_backend_is_used(session, later, monkeypatch):
    task = submit(session)
    monkeypatch.setattr(OtherBackend, "get_user", lambda self, pk: None, raising=False)
    AsyncTask.objects.update(auth_backend=OTHER)
    assert perform(task) == ("API_ERROR", 401)


def test_revoked_token_does_not_run(bearer, later):
    task = submit(bearer, "/doors/closed/")
    Token.objects.all().delete()
    assert perform(task) == ("API_ERROR", 401)
    assert doors.ran == []


def test_recreated_token_is_another_token(bearer, later, anna):
    task = submit(bearer, "/doors/closed/")
    Token.objects.all().delete()
    Token.objects.create(user=anna)
    assert perform(task) == ("API_ERROR", 401)


def test_permissions_are_checked_again_in_the_run(session, later, anna):
    User.objects.update(is_superuser=True)
    task = submit(session, "/doors/trusted/")
    User.objects.update(is_superuser=False)
    assert perform(task) == ("API_ERROR", 403)
    assert doors.ran == []


@pytest.mark.parametrize(
    "change", [{"username": "berta"}, {"date_joined": timezone.now()}], ids=["renamed", "made at another time"]
)
def test_user_with_another_name_or_date_joined_does_not_run(session, later, change):
    task = submit(session)
    User.objects.update(**change)
    assert perform(task) == ("API_ERROR", 401)
    assert doors.ran == []


def test_recreated_user_with_the_same_pk_and_name_does_not_run(session, later, settings, anna):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ON_USER_DELETE": "keep"}
    task = submit(session)
    User.objects.all().delete()
    User.objects.create_user("anna", pk=anna.pk)
    AsyncTask.objects.update(owner=anna.pk)
    assert perform(task) == ("API_ERROR", 401)


@isolate_apps("tests.project")
def test_proxy_of_the_user_model_has_the_same_stamp(anna):
    meta = type("Meta", (), {"proxy": True, "app_label": "project"})
    proxy = type("Person", (User,), {"__module__": __name__, "Meta": meta}).objects.get()
    assert stamps.facts_of(proxy, User) == stamps.facts_of(anna, User)


def test_changed_password_email_and_name_do_not_matter(session, later):
    task = submit(session)
    User.objects.update(password="another", email="a@example.com", last_name="Later", last_login=timezone.now())
    assert perform(task) == ("DONE", 200)


@pytest.mark.parametrize(("fallbacks", "end"), [([FORMER], ("DONE", 200)), ([], ("API_ERROR", 401))])
def test_stamp_is_valid_while_its_key_is_a_fallback(session, later, settings, fallbacks, end):
    task = submit(session)
    request = task.captured
    task.bodies.all().delete()  # sealed with the former key as well
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key, long enough for every check of it", fallbacks
    AsyncTask.objects.update(request=encode(request))
    assert perform(AsyncTask.objects.get()) == end


def test_call_without_a_stamp_does_not_run(session, later):
    AsyncTask.objects.update(request=encode(replace(submit(session).captured, stamp="")))
    assert perform(AsyncTask.objects.get()) == ("API_ERROR", 401)


REVOKED = pytest.mark.parametrize(("revokes", "end"), [(True, ("API_ERROR", 401)), (False, ("DONE", 200))])


@REVOKED
def test_revoke_on_password_change(session, later, settings, anna, revokes, end):
    task = submit(session)
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "REVOKE_ON_PASSWORD_CHANGE": revokes}
    anna.set_password("another")
    anna.save()
    assert perform(task) == end


def test_unchanged_password_under_a_rotated_key_runs(session, later, settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "REVOKE_ON_PASSWORD_CHANGE": True}
    task = submit(session)
    request = task.captured
    task.bodies.all().delete()  # sealed with the former key as well
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key, long enough for every check of it", [FORMER]
    AsyncTask.objects.update(request=encode(request))
    assert perform(AsyncTask.objects.get()) == ("DONE", 200)


def test_session_auth_hash_is_not_stored(session, later, anna):
    task = submit(session)
    assert anna.get_session_auth_hash() not in repr(task.captured)


def test_removed_backend_does_not_run(session, later, settings, anna):
    settings.AUTHENTICATION_BACKENDS = [OTHER]
    client = Client()
    client.force_login(anna, OTHER)
    task = submit(client)
    AsyncTask.objects.update(auth_backend="nowhere.Backend")
    assert perform(task)[0] == "ERROR"
    assert doors.ran == []


# Side effects ---------------------------------------------------------------------------------------------------------


def test_run_does_not_update_last_login(session, later, anna):
    task = submit(session)
    before = User.objects.values("last_login", "password").get()
    perform(task)
    assert User.objects.values("last_login", "password").get() == before


def test_run_writes_no_session(session, later):
    task = submit(session)
    before = list(Session.objects.values())
    assert perform(task) == ("DONE", 200)
    assert list(Session.objects.values()) == before


def test_token_key_is_not_stored(bearer, token):
    submit(bearer, "/doors/closed/")
    rows = [row for model in apps.get_app_config("asyncexchange").get_models() for row in model.objects.values()]
    assert rows
    assert token.key not in repr([[bytes(v) if isinstance(v, memoryview) else v for v in row.values()] for row in rows])


@pytest.mark.parametrize("path", ["/zoo/locale/", "/doors/unmarked/"])
def test_run_restores_language_and_time_zone(session, later, path):
    with translation.override("ru"), timezone.override("Asia/Tokyo"):
        task = submit(session, path)
    with translation.override("en"), timezone.override("Europe/Paris"):
        perform(task)
        assert (translation.get_language(), timezone.get_current_timezone_name()) == ("en", "Europe/Paris")


def test_run_has_the_language_of_its_call(session, later):
    response = session.post("/zoo/locale/", headers={**SOLITUDE, "Accept-Language": "ru"})
    assert response.status_code == 202
    task = AsyncTask.objects.get()
    with translation.override("en"):
        perform(task)
    assert '"language": "ru"' in content(task).decode()


# Owners ---------------------------------------------------------------------------------------------------------------


def company(request):
    """``OWNER``"""
    return Owner(account="the company", kind="application", id=f"app {request.user.pk}")


def test_user_has_an_account_alone_by_default(session, anna):
    task = submit(session)
    assert (task.owner, task.account, task.owner_kind, task.owner_reference) == (
        anna,
        str(anna.pk),
        "employee",
        str(anna.pk),
    )


def test_owner_setting_decides_the_account(session, anna, settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "OWNER": f"{__name__}.company"}
    task = submit(session)
    assert (task.account, task.owner_kind, task.owner_reference) == ("the company", "application", f"app {anna.pk}")


def test_anonymous_call_has_the_empty_account(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ALLOW_ANONYMOUS": True}
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert snapshot.capture(request) == snapshot.Identity(owner=Owner(account=""))


@pytest.mark.parametrize("client", ["session", "bearer"])
def test_task_belongs_to_the_user_authenticated_by_the_view(client, anna, request):
    assert (
        submit(
            request.getfixturevalue(client), "/zoo/rest-function/" if client == "session" else "/doors/closed/"
        ).owner
        == anna
    )


def test_task_of_another_user_is_answered_like_an_unknown_one(session):
    task = submit(session)
    other = Client()
    other.force_login(User.objects.create_user("otto"))
    foreign, unknown = (
        other.get(f"/delay/replay/{task.pk}/"),
        other.get(f"/delay/replay/{'0' * 8}-{'0' * 4}-4000-8000-{'0' * 12}/"),
    )
    assert (foreign.status_code, foreign.content, list(foreign.items())) == (404, b"", list(unknown.items()))


def test_remote_user_middleware_does_not_log_the_owner_out(settings):
    auth = "django.contrib.auth.middleware."
    settings.MIDDLEWARE = [
        part
        for name in settings.MIDDLEWARE
        for part in ((name, f"{auth}RemoteUserMiddleware") if name == f"{auth}AuthenticationMiddleware" else (name,))
    ]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    remote = {"REMOTE_USER": "remote"}
    accepted = Client().post("/zoo/person/", headers=SOLITUDE, **remote)
    assert Client().get(accepted.json()["replay"], **remote).json() == Client().post("/zoo/person/", **remote).json()


class HeaderMiddleware(RemoteUserMiddleware):
    """A proxy names the user in its own header, as in Django's documentation."""

    header = "HTTP_X_NAMED"


def test_remote_user_in_a_custom_header_is_the_owner(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE]
    settings.MIDDLEWARE.insert(-3, f"{__name__}.HeaderMiddleware")
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    remote = {"HTTP_X_NAMED": "remote"}
    accepted = Client().post("/zoo/person/", headers=SOLITUDE, **remote)
    assert Client().get(accepted.json()["replay"], **remote).json() == Client().post("/zoo/person/", **remote).json()


class Asks:
    """Middleware that reads ``request.user`` before the view."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        asked.append((request.user.username, request.user.is_authenticated))
        return self.get_response(request)


class AsksLater(Asks):
    sync_capable, async_capable = False, True

    async def __call__(self, request):
        user = await request.auser()
        asked.append((user.username, user.is_authenticated))
        return await self.get_response(request)


class Closes(Asks):
    """Middleware that refuses anonymous requests."""

    def __call__(self, request):
        return self.get_response(request) if request.user.is_authenticated else HttpResponse(status=302)


@pytest.mark.parametrize("middleware", [Asks, AsksLater])
def test_middleware_sees_the_owner_as_user(session, later, settings, middleware):
    if middleware is AsksLater:
        markcoroutinefunction(AsksLater)
    task = submit(session)
    asked.clear()
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:-1], f"{__name__}.{middleware.__name__}", settings.MIDDLEWARE[-1]]
    assert perform(task) == ("DONE", 200)
    assert asked == [("anna", True)]


@pytest.mark.parametrize("middleware", [Asks, Closes])
def test_middleware_cannot_make_a_deactivated_owner_run(session, later, settings, middleware):
    task = submit(session)
    User.objects.update(is_active=False)
    asked.clear()
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:-1], f"{__name__}.{middleware.__name__}", settings.MIDDLEWARE[-1]]
    assert perform(task) == ("API_ERROR", 401)
    assert (asked, doors.ran) == ([("", False)] if middleware is Asks else [], [])


class TestBadge:
    """Authentication by the project's own middleware."""

    @pytest.fixture(autouse=True)
    def badge(self, settings):
        place = settings.MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1
        ours = "tests.project.middleware.Badge"
        settings.MIDDLEWARE = [*settings.MIDDLEWARE[:place], ours, *settings.MIDDLEWARE[place:]]
        User.objects.create(username="boris")

    def test_user_of_the_middleware_submits_and_runs(self):
        badge = {"X-Badge": "boris"}
        accepted = Client().post("/zoo/person/", headers={**SOLITUDE, **badge})
        now = Client().post("/zoo/person/", headers=badge).json()
        client = Client()
        client.force_login(User.objects.get(username="boris"))
        assert AsyncTask.objects.get().owner.username == "boris"
        assert client.get(accepted.json()["replay"]).json() == now

    def test_call_without_a_badge_is_a_401(self):
        assert Client().post("/zoo/person/", headers=SOLITUDE).status_code == 401
        assert not AsyncTask.objects.exists()
