"""Task endpoints under other defaults of REST framework, and views with their own authentication."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from rest_framework import exceptions as drf
from rest_framework import negotiation, parsers, permissions, renderers, throttling, versioning
from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.authtoken.models import Token
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken

from django_asyncexchange.conf import conf
from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask

from ..services import IDLE, exchange, perform, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

LATER = {"Prefer": "respond-async"}
HERE = __name__


# A project ------------------------------------------------------------------------------------------------------------


class Open(APIView):
    """Overrides all defaults of the project, so that only the task endpoints use them."""

    async_exchange = True
    authentication_classes: Any = (SessionAuthentication,)
    permission_classes: Any = (permissions.IsAuthenticated,)
    throttle_classes: Any = ()
    versioning_class = None
    renderer_classes: Any = (renderers.JSONRenderer,)
    parser_classes: Any = (parsers.JSONParser,)
    content_negotiation_class = negotiation.DefaultContentNegotiation

    def get(self, request: Any) -> Response:
        return Response({"user": str(request.user)})


class ByKey(BaseAuthentication):
    """Takes a username as key, and requires one."""

    def __init__(self, header: str = "X-Key") -> None:
        self.header = header

    def authenticate(self, request: Any) -> Any:
        if not (key := request.headers.get(self.header)):
            raise drf.AuthenticationFailed("No key.")
        return User.objects.get(username=key), None

    def authenticate_header(self, request: Any) -> str:
        return "Key"


class OfGet(Open):
    """Chooses by the request, so that the URLconf does not tell."""

    authentication_classes = ()

    def get_authenticators(self) -> Any:
        return [ByKey()] if self.request.method == "GET" else []


class Configured(Open):
    authentication_classes = ()

    def get_authenticators(self) -> Any:
        return [ByKey("X-Other-Key")]


@allow_async
def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user)) if request.user.is_authenticated else HttpResponse(status=401)


def view(*classes: Any) -> Any:
    return type("View", (Open,), {"authentication_classes": classes}).as_view()


ours = path("", include("django_asyncexchange.urls"))
urlpatterns = [
    path("open/", Open.as_view()),
    path("basic/", view(BasicAuthentication)),
    path("token/", view(TokenAuthentication)),
    path("jwt/", view(JWTAuthentication)),
    path("session/", view(SessionAuthentication)),
    path("key/", Open.as_view(authentication_classes=(ByKey,))),
    path("configured/", Configured.as_view()),
    path("plain/", plain),
    ours,
]


class Dynamic:
    """A URLconf with a view that chooses by the request."""

    urlpatterns = (path("of-get/", OfGet.as_view()), path("plain/", plain), ours)


class Anonymous:
    """Views without authentication beside one that requires it."""

    urlpatterns = (path("none/", view()), path("key/", view(ByKey)), ours)


ATTRIBUTES = {
    "renderer_classes": "DEFAULT_RENDERER_CLASSES",
    "parser_classes": "DEFAULT_PARSER_CLASSES",
    "authentication_classes": "DEFAULT_AUTHENTICATION_CLASSES",
    "throttle_classes": "DEFAULT_THROTTLE_CLASSES",
    "permission_classes": "DEFAULT_PERMISSION_CLASSES",
    "content_negotiation_class": "DEFAULT_CONTENT_NEGOTIATION_CLASS",
    "metadata_class": "DEFAULT_METADATA_CLASS",
    "versioning_class": "DEFAULT_VERSIONING_CLASS",
}


@pytest.fixture(autouse=True)
def later(settings):
    cache.clear()
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture
def project(settings, monkeypatch):
    """A project with these settings of REST framework, as if just started."""

    def starts(**given: Any) -> None:
        settings.REST_FRAMEWORK = given
        for name, key in ATTRIBUTES.items():
            monkeypatch.setattr(APIView, name, getattr(api_settings, key))
        monkeypatch.setattr(throttling.SimpleRateThrottle, "THROTTLE_RATES", api_settings.DEFAULT_THROTTLE_RATES)
        monkeypatch.setattr(versioning.BaseVersioning, "allowed_versions", api_settings.ALLOWED_VERSIONS)
        monkeypatch.setattr(versioning.BaseVersioning, "default_version", api_settings.DEFAULT_VERSION)

    return starts


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", password="secret")


@pytest.fixture
def otto(db):
    return User.objects.create_user("otto", password="secret")


def logged_in(user):
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def with_headers(**headers):
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Client(headers=named, raise_request_exception=False)


def basic(user):
    return with_headers(Authorization="Basic " + base64.b64encode(f"{user.username}:secret".encode()).decode())


CALLERS = {
    "basic": basic,
    "token": lambda user: with_headers(Authorization=f"Token {Token.objects.get_or_create(user=user)[0].key}"),
    "jwt": lambda user: with_headers(Authorization=f"Bearer {AccessToken.for_user(user)}"),
    "session": logged_in,
    "key": lambda user: with_headers(X_Key=user.username),
    "configured": lambda user: with_headers(X_Other_Key=user.username),
    "plain": logged_in,
}
"""The views by name → a client with what they want to see of somebody."""


def submitted(client, address):
    response = client.get(address, headers=LATER)
    assert response.status_code == 202, response.content
    return AsyncTask.objects.latest("created")


def is_a_journey(client, address, others):
    """Whether the submitter can do everything with a task, and ``others`` nothing."""
    task = submitted(client, address)
    at = f"/async/tasks/{task.pk}"
    pending = client.get(at).status_code
    perform(task)
    done, result = client.get(at), client.get(f"{at}/result")
    listed = [each["id"] for each in client.get("/async/tasks").json()["results"]]
    cancelled = client.delete(f"/async/tasks/{submitted(client, address).pk}").status_code
    foreign = [other.get(f"{at}{rest}").status_code for other in others for rest in ("", "/result")]
    assert (pending, done.status_code, result.status_code) == (202, 303, 200), (done.content, result.content)
    assert (listed, cancelled) == ([str(task.pk)], 204)
    assert set(foreign) <= {401, 404}
    return True


# Defaults -------------------------------------------------------------------------------------------------------------


class Xml(renderers.BaseRenderer):
    media_type, format = "application/xml", "xml"

    def render(self, data: Any, *args: Any) -> bytes:
        raise RuntimeError("no XML of this")


class Picky(negotiation.BaseContentNegotiation):
    def select_parser(self, request: Any, parsers: Any) -> Any:
        raise drf.UnsupportedMediaType("any")

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        raise drf.NotAcceptable


class RefusesAll(BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        raise drf.AuthenticationFailed


def handler(exc: Exception, context: Any) -> Any:
    raise RuntimeError("a project's own handler")


def dotted(*classes):
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in classes]


PERMISSIONS = (
    permissions.AllowAny,
    permissions.IsAuthenticated,
    permissions.IsAdminUser,
    permissions.IsAuthenticatedOrReadOnly,
    permissions.DjangoModelPermissions,
    permissions.DjangoModelPermissionsOrAnonReadOnly,
    permissions.DjangoObjectPermissions,
)
VERSIONING = (
    versioning.AcceptHeaderVersioning,
    versioning.URLPathVersioning,
    versioning.NamespaceVersioning,
    versioning.HostNameVersioning,
    versioning.QueryParameterVersioning,
)
THROTTLES = (throttling.UserRateThrottle, throttling.AnonRateThrottle, throttling.ScopedRateThrottle)
PROJECTS: dict[str, dict[str, Any]] = {
    **{cls.__name__: {"DEFAULT_PERMISSION_CLASSES": dotted(cls)} for cls in PERMISSIONS},
    **{
        cls.__name__: {"DEFAULT_VERSIONING_CLASS": dotted(cls)[0], "ALLOWED_VERSIONS": ["v7"], "DEFAULT_VERSION": None}
        for cls in VERSIONING
    },
    **{
        cls.__name__: {
            "DEFAULT_THROTTLE_CLASSES": dotted(cls),
            "DEFAULT_THROTTLE_RATES": {"user": "1/day", "anon": "1/day", "asyncexchange": "1/day"},
        }
        for cls in THROTTLES
    },
    "renderers": {"DEFAULT_RENDERER_CLASSES": dotted(Xml)},
    "no renderers": {"DEFAULT_RENDERER_CLASSES": []},
    "parsers": {"DEFAULT_PARSER_CLASSES": []},
    "negotiation": {"DEFAULT_CONTENT_NEGOTIATION_CLASS": dotted(Picky)[0]},
    "no format override": {"URL_FORMAT_OVERRIDE": None, "FORMAT_SUFFIX_KWARG": "id"},
    "exception handler": {"EXCEPTION_HANDLER": f"{HERE}.handler"},
    "no user": {"UNAUTHENTICATED_USER": None, "UNAUTHENTICATED_TOKEN": None},
    "no metadata": {"DEFAULT_METADATA_CLASS": None},
    "no authentication": {"DEFAULT_AUTHENTICATION_CLASSES": []},
    "authentication that refuses all": {"DEFAULT_AUTHENTICATION_CLASSES": dotted(RefusesAll)},
}


@pytest.mark.parametrize("name", PROJECTS)
def test_task_endpoints_ignore_the_projects_defaults(project, anna, otto, name):
    project(**PROJECTS[name])
    client = logged_in(anna)
    client.defaults["HTTP_HOST"] = "www.example.com"  # of no version
    assert is_a_journey(client, "/open/", [logged_in(otto), Client()])


@pytest.mark.parametrize("name", PROJECTS)
def test_anonymous_client_gets_401_whatever_the_projects_defaults(project, anna, name):
    project(**PROJECTS[name])
    task = submitted(logged_in(anna), "/open/")
    answers = [Client().get(f"/async/tasks/{id}") for id in (task.pk, uuid.uuid4())]
    assert [each.status_code for each in answers] == [401, 401]
    assert answers[0].content == answers[1].content


def test_webhook_endpoints_ignore_the_projects_defaults(project, anna):
    project(
        DEFAULT_PERMISSION_CLASSES=dotted(permissions.DjangoModelPermissionsOrAnonReadOnly),
        DEFAULT_PARSER_CLASSES=[],
        DEFAULT_CONTENT_NEGOTIATION_CLASS=dotted(Picky)[0],
    )
    assert logged_in(anna).get("/async/webhooks").status_code == 200


def test_polls_do_not_count_towards_the_projects_throttle(project, anna):
    rates = {"user": "1/day", "anon": "1/day"}
    project(DEFAULT_THROTTLE_CLASSES=dotted(throttling.UserRateThrottle), DEFAULT_THROTTLE_RATES=rates)
    client, id = logged_in(anna), stored(owner=anna, dialect="prefer").pk
    assert {client.get(f"/async/tasks/{id}").status_code for _ in range(5)} == {202}
    assert [key for key in cache._cache if "throttle" in key] == []


# Authentication -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLERS)
def test_task_is_readable_with_the_authentication_of_its_submit(anna, otto, name):
    client_of = CALLERS[name]
    assert is_a_journey(client_of(anna), f"/{name}/", [client_of(otto), Client()])


@pytest.mark.parametrize("name", CALLERS)
def test_authentication_of_the_submit_works_when_the_default_refuses_all(project, anna, otto, name):
    project(DEFAULT_AUTHENTICATION_CLASSES=dotted(RefusesAll))
    client_of = CALLERS[name]
    assert is_a_journey(client_of(anna), f"/{name}/", [client_of(otto), Client()])


@pytest.mark.parametrize("name", ["basic", "token", "jwt", "key", "configured"])
def test_credentials_of_the_submit_win_over_anothers_session(anna, otto, name):
    client = CALLERS[name](anna)
    client.force_login(otto)
    task = submitted(client, f"/{name}/")
    perform(task)
    assert client.get(f"/async/tasks/{task.pk}/result").json() == {"user": "anna"}


def test_get_authenticators_of_a_view_is_asked_for_its_own_tasks(settings, anna, otto):
    settings.ROOT_URLCONF = Dynamic
    hers = with_headers(X_Key="anna")
    at = f"/async/tasks/{submitted(hers, '/of-get/').pk}"
    assert [hers.get(at).status_code, hers.get(f"/async/tasks/{uuid.uuid4()}").status_code] == [202, 401]
    hers.force_login(otto)
    assert hers.get(at).status_code == 202


def test_get_authenticators_does_not_reveal_whether_a_task_exists(settings, anna, otto):
    settings.ROOT_URLCONF = Dynamic
    id = submitted(with_headers(X_Key="anna"), "/of-get/").pk
    his, both = with_headers(X_Key="otto"), with_headers(X_Key="otto")
    both.force_login(otto)
    for client, status in ((his, 401), (both, 404), (with_headers(X_Key="nobody's"), 401), (Client(), 401)):
        known, unknown = (client.get(f"/async/tasks/{each}") for each in (id, uuid.uuid4()))
        assert [known.status_code, unknown.status_code] == [status, status]
        assert (known.content, known.headers) == (unknown.content, unknown.headers)


def test_anonymous_task_is_readable_after_login(settings, anna):
    settings.ROOT_URLCONF = Anonymous
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    Open.permission_classes, before = (permissions.AllowAny,), Open.permission_classes
    try:
        task = submitted(Client(), "/none/")
    finally:
        Open.permission_classes = before
    assert [client.get(f"/async/tasks/{task.pk}").status_code for client in (Client(), logged_in(anna))] == [202, 202]


def test_401_lists_all_challenges():
    challenge = Client().get(f"/async/tasks/{uuid.uuid4()}")["WWW-Authenticate"]
    assert challenge == 'Basic realm="api", Token, Bearer realm="api", Key'


def test_authentication_classes_setting_replaces_those_of_the_views(settings, anna):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, AUTHENTICATION_CLASSES=dotted(TokenAuthentication))
    task = submitted(basic(anna), "/basic/")
    found = [CALLERS[name](anna).get(f"/async/tasks/{task.pk}").status_code for name in ("basic", "session", "token")]
    assert found == [401, 401, 202]


def test_unmarked_views_are_not_asked(settings, anna):
    settings.ROOT_URLCONF = Closed
    for dialects, status in (({"prefer": {"PREFIX": "/async"}}, 401), ({"prefer": {}, "solitude": {}}, 404)):
        settings.ASYNC_EXCHANGE = {"DIALECTS": dialects, "EXECUTOR": IDLE}
        at = f"/async/tasks/{uuid.uuid4()}" if status == 401 else f"/delay/status/{uuid.uuid4()}/"
        assert with_headers(X_Key="anna").get(at).status_code == status


class NotMarked(Open):
    async_exchange = None
    authentication_classes = (ByKey,)


class Closed:
    """A view marked by the settings only."""

    urlpatterns = (path("api/v1/<int:number>/", NotMarked.as_view(), name="numbered"), ours)


@pytest.mark.parametrize(
    ("listed", "status"),
    [("/api/*", 404), ("/api/v1/7/", 404), ("numbered", 404), ("/*", 404), ("/other/*", 401), ("other", 401)],
)
def test_view_listed_in_views_is_asked(settings, anna, listed, status):
    settings.ROOT_URLCONF = Closed
    settings.ASYNC_EXCHANGE = {"DIALECTS": {"prefer": {"PREFIX": "/async"}}, "EXECUTOR": IDLE, "VIEWS": [listed]}
    assert with_headers(X_Key="anna").get(f"/async/tasks/{uuid.uuid4()}").status_code == status


# Refusals -------------------------------------------------------------------------------------------------------------


class Raises(BaseAuthentication):
    error: Exception

    def authenticate(self, request: Any) -> Any:
        raise self.error


def of_status(status):
    error = drf.APIException("the project's own words")
    error.status_code = status
    return error


ERRORS: dict[str, tuple[Exception, int]] = {
    **{
        str(status): (of_status(status), status)
        for status in (400, 401, 402, 403, 404, 405, 406, 409, 410, 415, 422, 423, 429, 451, 500, 501, 502, 503, 504)
    },
    "no error's": (of_status(302), 500),
    "unknown": (of_status(499), 500),
    "PermissionDenied": (PermissionDenied("words"), 403),
    "SuspiciousOperation": (SuspiciousOperation("words"), 400),
    "BadRequest": (BadRequest("words"), 400),
    "Http404": (Http404("words"), 404),
    "ValueError": (ValueError("words"), 500),
    "AttributeError": (AttributeError("words"), 500),
    "Throttled": (drf.Throttled(7), 429),
    "UnsupportedMediaType": (drf.UnsupportedMediaType("any"), 415),
    "ValidationError": (drf.ValidationError({"key": "words"}), 400),
}


def lists(mount):
    """A URL of ``mount`` that answers GET and is not public."""
    route = next(route for route in mount.ROUTES.values() if route.method == "GET" and not route.public)
    return f"{mount.prefix}/{route.path}".replace("{id}", str(uuid.uuid4()))


def is_worded(mount, response):
    if response.status_code == 404 and mount.name == "solitude":
        return response.content == b""
    return bool(json.loads(response.content)) and b"words" not in response.content


@pytest.mark.product("name", "mount")
@pytest.mark.parametrize("mount", conf.mounts, ids=lambda mount: mount.name)
@pytest.mark.parametrize("name", ERRORS)
def test_exception_of_an_authenticator_is_answered_by_the_dialect(settings, monkeypatch, mount, name):
    error, status = ERRORS[name]
    monkeypatch.setattr(Raises, "error", error, raising=False)
    settings.ASYNC_EXCHANGE = exchange(AUTHENTICATION_CLASSES=dotted(Raises))
    response = Client(raise_request_exception=False).get(lists(mount))
    assert response.status_code == status
    assert is_worded(mount, response)


def test_failing_authenticator_does_not_block_the_next(settings, monkeypatch, anna):
    monkeypatch.setattr(Raises, "error", ValueError(), raising=False)
    settings.ASYNC_EXCHANGE = exchange(AUTHENTICATION_CLASSES=dotted(Raises, SessionAuthentication))
    assert logged_in(anna).get("/async/tasks").status_code == 200


def test_failure_of_an_authenticator_wins_over_a_refusal(settings, monkeypatch):
    monkeypatch.setattr(Raises, "error", of_status(503), raising=False)
    settings.ASYNC_EXCHANGE = exchange(AUTHENTICATION_CLASSES=dotted(RefusesAll, Raises))
    response = Client().get("/async/tasks")
    assert (response.status_code, "Retry-After" in response) == (503, True)


# CSRF -----------------------------------------------------------------------------------------------------------------

WRITES = [
    ("DELETE", "/async/tasks/{}"),
    ("PUT", "/api/remap/1.2/async/{}/cancel"),
    ("PUT", "/kladana/api/remap/1.2/async/{}/cancel"),
    ("POST", "/async/webhooks"),
    ("POST", "/api/remap/1.2/entity/webhook"),
]


@pytest.mark.parametrize(("method", "address"), WRITES)
def test_write_without_a_csrf_token_is_a_403_with_the_reason(anna, method, address):
    client = Client(enforce_csrf_checks=True, headers={"Accept-Language": "en"})
    client.force_login(anna)
    response = client.generic(method, address.format(stored(owner=anna).pk))
    assert response.status_code == 403
    assert b"CSRF check failed: CSRF cookie not set." in response.content


def test_cancel_with_token_authentication_needs_no_csrf_token(anna):
    client = with_headers(Authorization=f"Token {Token.objects.create(user=anna).key}")
    client.handler.enforce_csrf_checks = True
    assert client.delete(f"/async/tasks/{submitted(client, '/token/').pk}").status_code == 204


# THROTTLE_RATE --------------------------------------------------------------------------------------------------------


def test_throttle_rate_is_per_user(settings, anna, otto):
    settings.ASYNC_EXCHANGE = exchange(THROTTLE_RATE="2/day")
    hers, his = logged_in(anna), logged_in(otto)
    assert [hers.get("/async/tasks").status_code for _ in "123"] == [200, 200, 429]
    refused = hers.get(f"/async/tasks/{uuid.uuid4()}")
    assert (refused.status_code, refused.json()["code"], "Retry-After" in refused) == (429, "throttled", True)
    assert his.get("/async/tasks").status_code == 200
