"""Admission: what the view would refuse is refused at submit, with the view's own response, and leaves nothing."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.decorators import login_required, permission_required, user_passes_test
from django.contrib.auth.models import Permission, User
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe
from rest_framework.authentication import SessionAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.conf import conf
from django_asyncexchange.decorators import allow_async
from django_asyncexchange.intake import admission, decorator_checks
from django_asyncexchange.models import AsyncTask, Body

from ..project import doors

pytestmark = pytest.mark.django_db(transaction=True)

SOLITUDE = {"Solitude-Async": "yes"}


@pytest.fixture(autouse=True)
def fresh():
    cache.clear()
    doors.ran.clear()
    yield
    cache.clear()


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", email="anna@example.com")


@pytest.fixture
def session(anna):
    client = Client(raise_request_exception=False)
    client.force_login(anna)
    return client


@pytest.fixture
def nobody():
    return Client(raise_request_exception=False)


@pytest.fixture
def bearer(anna):
    """A client with a token."""
    token = Token.objects.create(user=anna)
    return Client(raise_request_exception=False, headers={"Authorization": f"Token {token.key}"})


def is_clean():
    """Whether a refusal has stored nothing, and no view has run."""
    return not AsyncTask.objects.exists() and not Body.objects.exists() and not doors.ran


def submit(client, path, method="POST", **headers):
    return client.generic(method, f"/doors/{path}", headers={**SOLITUDE, **headers})


def is_same(later, now):
    """Whether a refusal at submit equals that of a synchronous call."""
    mine = [pair for pair in later.items() if pair[0] != "Solitude-Async"]
    return (later.status_code, later.content, mine) == (now.status_code, now.content, list(now.items()))


# Refusals of the view -------------------------------------------------------------------------------------------------


class TestRest:
    def test_anonymous_caller_gets_the_views_401(self, nobody):
        refused = submit(nobody, "closed/")
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Token")
        assert is_same(refused, nobody.post("/doors/closed/"))
        assert is_clean()

    @pytest.mark.parametrize("credentials", ["Token wrong", "Token", "Token a b", "Token \xff"])
    def test_invalid_token_gets_the_views_401(self, nobody, credentials):
        refused = submit(nobody, "closed/", Authorization=credentials)
        assert refused.status_code == 401
        assert is_same(refused, nobody.post("/doors/closed/", headers={"Authorization": credentials}))
        assert is_clean()

    def test_token_of_a_deactivated_user_gets_the_views_401(self, bearer, anna):
        User.objects.update(is_active=False)
        assert submit(bearer, "closed/").json() == {"detail": "User inactive or deleted."}
        assert is_clean()

    def test_valid_token_is_accepted(self, bearer):
        assert submit(bearer, "closed/").status_code == 202
        assert doors.ran == ["/doors/closed/"]

    def test_missing_permission_gets_the_views_403(self, bearer):
        refused = submit(bearer, "staff/")
        assert refused.status_code == 403
        assert is_same(refused, bearer.post("/doors/staff/"))
        assert is_clean()

    def test_unknown_method_gets_the_views_405(self, bearer):
        refused = submit(bearer, "closed/", "PATCH")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")
        assert is_same(refused, bearer.patch("/doors/closed/"))
        assert is_clean()

    def test_authentication_is_checked_before_the_method(self, nobody):
        assert submit(nobody, "closed/", "PATCH").status_code == 401

    def test_unavailable_media_type_gets_the_views_406(self, bearer):
        refused = submit(bearer, "only-json/", Accept="image/png")
        assert refused.status_code == 406
        assert is_same(refused, bearer.post("/doors/only-json/", headers={"Accept": "image/png"}))
        assert is_clean()

    def test_throttled_call_gets_the_views_429(self, bearer):
        assert [submit(bearer, "throttled/").status_code for _ in range(3)] == [202, 202, 429]

    def test_throttled_call_is_not_stored(self, bearer):
        for _ in range(3):
            refused = submit(bearer, "throttled/")
        assert int(refused.headers["Retry-After"]) > 0
        assert AsyncTask.objects.count() == len(doors.ran) == 2

    def test_run_is_not_throttled_again(self, bearer):
        submit(bearer, "throttled/")
        submit(bearer, "throttled/")
        assert set(AsyncTask.objects.values_list("state", flat=True)) == {"DONE"}

    def test_synchronous_call_shares_the_throttle(self, bearer):
        submit(bearer, "throttled/")
        assert [bearer.post("/doors/throttled/").status_code for _ in range(2)] == [200, 429]

    def test_object_permission_is_checked_in_the_run(self, bearer):
        accepted = submit(bearer, "foreign/")
        assert accepted.status_code == 202
        assert AsyncTask.objects.get().status_code == 403

    def test_permission_that_reads_the_body_does_not_consume_it(self, bearer):
        body = b'{"name":"x"}'
        bearer.post("/doors/reads-data/", body, content_type="application/json", headers=SOLITUDE)
        assert bytes(Body.objects.get(kind=Body.RESPONSE).content) == body

    def test_permission_that_refuses_the_body_refuses_at_submit(self, bearer):
        assert bearer.post("/doors/reads-data/", b"{}", "application/json", headers=SOLITUDE).status_code == 403
        assert is_clean()

    def test_body_that_a_permission_cannot_parse_gets_the_views_400(self, bearer):
        refused = bearer.post("/doors/reads-data/", b"{", "application/json", headers=SOLITUDE)
        assert refused.status_code == 400
        assert is_same(refused, bearer.post("/doors/reads-data/", b"{", "application/json"))
        assert is_clean()


class TestPlain:
    @pytest.mark.parametrize("path", ["unmarked/", "allowed-async/", "allowed-class/"])
    def test_anonymous_caller_gets_401(self, nobody, path):
        refused = submit(nobody, path)
        assert (refused.status_code, refused.json()["error"]) == (401, "not_authenticated")
        assert is_clean()

    def test_401_has_the_dialects_format(self, nobody):
        refused = nobody.get("/api/remap/1.2/doors/allowed/?async=true")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (401, 1056)

    def test_anonymous_caller_is_accepted_with_allow_anonymous(self, nobody, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ALLOW_ANONYMOUS": True}
        assert submit(nobody, "unmarked/").status_code == 202
        assert doors.ran == ["/doors/unmarked/"]

    @pytest.mark.parametrize("path", ["members/", "prepared/1/", "members-tested/"])
    def test_login_required_redirects_an_anonymous_caller(self, nobody, path):
        refused = submit(nobody, path)
        assert refused.status_code == 302
        assert refused.headers["Location"] == nobody.post(f"/doors/{path}").headers["Location"]
        assert is_clean()

    @pytest.mark.parametrize("path", ["members/", "async-members/", "tested/", "members-tested/", "login-required/"])
    def test_logged_in_caller_is_accepted(self, session, path):
        assert submit(session, path).status_code == 202
        assert AsyncTask.objects.get().status_code == 200

    def test_setup_of_a_class_based_view_runs_once(self, session):
        assert submit(session, "prepared/7/").status_code == 202
        assert bytes(Body.objects.get(kind=Body.RESPONSE).content) == b"green 7"

    def test_missing_permission_is_a_403(self, session):
        refused = submit(session, "trusted/")
        assert refused.status_code == 403
        assert is_same(refused, session.post("/doors/trusted/"))
        assert is_clean()

    def test_granted_permission_is_accepted(self, session, anna):
        anna.user_permissions.add(Permission.objects.get(codename="add_group"))
        assert submit(session, "trusted/").status_code == 202

    @pytest.mark.parametrize("path", ["tested/", "members-tested/"])
    def test_failed_test_func_is_a_403(self, session, path):
        User.objects.update(username="otto", email="otto@elsewhere.example")
        assert submit(session, path).status_code == 403
        assert is_clean()

    def test_renamed_test_func_counts(self, session):
        assert submit(session, "tested-elsewhere/").status_code == 403
        assert is_clean()

    def test_access_is_checked_before_the_method(self, nobody):
        assert submit(nobody, "members/", "PUT").status_code == nobody.put("/doors/members/").status_code == 302

    @pytest.mark.parametrize("path", ["members/", "allowed-dispatch/"])
    def test_method_without_a_handler_is_a_405(self, session, path):
        refused = submit(session, path, "PUT")
        assert (refused.status_code, refused.headers["Allow"]) == (405, session.put(f"/doors/{path}").headers["Allow"])
        assert is_clean()


# Eligibility ----------------------------------------------------------------------------------------------------------


def report(client, path, method="GET", mount="/api/remap/1.2"):
    """(status, error code or None) of a call in MoySklad's dialect."""
    response = client.generic(method, f"{mount}/doors/{path}?async=true")
    code = response.json()["errors"][0]["code"] if response.status_code >= 400 else None
    return response.status_code, code


ACCEPTED = (202, None)
NOT_ELIGIBLE = (412, 61000)


class TestEligibility:
    @pytest.mark.seed("S001-3", "S002-2")
    @pytest.mark.parametrize("path", ["unmarked/", "members/", "closed/", "sets/1/", "sets/by_hand/"])
    def test_unmarked_view_is_not_eligible(self, session, path):
        assert report(session, path) == NOT_ELIGIBLE
        assert is_clean()

    @pytest.mark.parametrize(
        "path",
        [
            "allowed/",
            "allowed-async/",
            "allowed-class/",
            "allowed-method/",
            "allowed-dispatch/",
            "allowed-view/",
            "rest-always/",
            "rest-only-get/",
            "rest-function/",
        ],
    )
    def test_marked_view_is_eligible(self, session, path):
        assert report(session, path) == ACCEPTED
        assert AsyncTask.objects.get().status_code == 200

    @pytest.mark.parametrize(
        "path", ["sets/", "sets/by_name/", "sets/by_mark/", "exceptional/", "exceptional/by_hand/"]
    )
    def test_marked_action_is_eligible(self, session, path):
        assert report(session, path) == ACCEPTED
        assert AsyncTask.objects.get().status_code == 200

    @pytest.mark.parametrize("path", ["exceptional/by_mark/", "sets/by_hand/", "never/", "never-class/", "rest-never/"])
    def test_excluded_action_or_view_is_not_eligible(self, session, path):
        assert report(session, path) == NOT_ELIGIBLE

    @pytest.mark.parametrize("method", ["TRACE", "QUERY", "DELETE"])
    def test_method_that_the_viewset_does_not_have_is_its_own_405(self, session, method):
        at_once = session.generic(method, "/api/remap/1.2/doors/sets/")
        refused = session.generic(method, "/async_api/remap/1.2/doors/sets/")
        assert (refused.status_code, refused.headers["Allow"]) == (405, at_once.headers["Allow"])
        assert is_clean()

    @pytest.mark.parametrize("path", ["never/", "never-class/", "rest-never/", "rest-only-get/", "allowed-method/"])
    def test_never_async_wins_over_a_dialect_for_every_view(self, session, path):
        refused = submit(session, path)
        assert (refused.status_code, refused.json()["error"]) == (400, "not_eligible")
        assert is_clean()

    def test_never_async_wins_over_the_settings(self, session, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/*"]}
        assert report(session, "never/") == NOT_ELIGIBLE

    def test_solitude_accepts_an_unmarked_view(self, session):
        assert submit(session, "unmarked/").status_code == 202

    @pytest.mark.parametrize(
        "name",
        [
            "report-doors:unmarked",
            "/api/remap/1.2/doors/unmarked/",
            "/api/remap/*/unmarked/",
            "/api/*",
            "/api/remap/1.?/doors/un[a-m]arked/",
        ],
    )
    def test_views_setting_matches_names_and_patterns(self, session, settings, name):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["elsewhere", name]}
        assert report(session, "unmarked/") == ACCEPTED

    @pytest.mark.parametrize("name", ["unmarked", "doors:unmarked", "/API/*", "/unmarked/"])
    def test_views_setting_does_not_match_other_names(self, session, settings, name):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": [name]}
        assert report(session, "unmarked/") == NOT_ELIGIBLE

    def test_name_in_views_matches_every_url_of_its_route(self, session, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["report-doors:numbered"]}
        assert report(session, "unmarked/5/") == ACCEPTED
        assert report(session, "unmarked/") == NOT_ELIGIBLE

    def test_views_of_a_mount_apply_to_that_mount_only(self, session, settings):
        mounts = settings.ASYNC_EXCHANGE["DIALECTS"]
        kladana = {**mounts["kladana"], "VIEWS": ["kladana-doors:unmarked", "/api/*"]}
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "DIALECTS": {**mounts, "kladana": kladana}}
        assert report(session, "unmarked/", mount="/kladana/api/remap/1.2") == ACCEPTED
        assert report(session, "unmarked/") == NOT_ELIGIBLE

    def test_ineligible_view_is_refused_before_authentication(self, nobody):
        assert report(nobody, "closed/") == NOT_ELIGIBLE


# Decorators of Django -------------------------------------------------------------------------------------------------


async def answer_async(request):
    return doors.answer(request)


async def is_otto(user):
    return user.username == "otto"


class Handlers(doors.Unmarked):
    @method_decorator(require_http_methods(["GET"]))
    @method_decorator(permission_required("auth.add_group", raise_exception=True))
    def get(self, request):
        return doors.answer(request)


class LoggedIn(APIView):
    authentication_classes = (SessionAuthentication,)
    permission_classes = (AllowAny,)

    def get(self, request):
        return Response(doors.ran.append(request.path))

    post = get


DECORATORS = {
    "login": login_required,
    "login-elsewhere": login_required(login_url="/enter/?lang=en", redirect_field_name="back"),
    "permission": permission_required("auth.add_group"),
    "permission-or-403": permission_required(["auth.add_group"], raise_exception=True),
    "login-then-permission": lambda view: login_required(
        permission_required("auth.add_group", raise_exception=True)(view)
    ),
    "test": user_passes_test(lambda user: user.username == "otto", login_url="/otto/"),
    "only-post": require_POST,
    "only-get": require_GET,
    "only-safe": require_safe,
    "only-put": require_http_methods(["PUT"]),
    "post-then-login": lambda view: require_POST(login_required(view)),
    "login-then-post": lambda view: login_required(require_POST(view)),
    "among-others": lambda view: csrf_exempt(
        allow_async(sensitive_post_parameters()(require_POST(login_required(view))))
    ),
    "none": lambda view: view,
}
PREFIX = "api/remap/1.2/"
"""Where both Solitude's dialect, which takes writing methods, and MoySklad's, which reads, are mounted."""
VIEWS = {
    "plain": doors.answer,
    "async": answer_async,
    "class": doors.Unmarked.as_view(),
    "rest": LoggedIn.as_view(),
}
DISPATCHED = {
    name: method_decorator(decorator, name="dispatch")(type("Dispatched", (doors.Unmarked,), {}))
    for name, decorator in DECORATORS.items()
}
TWICE = method_decorator(require_POST, name="dispatch")(type("Twice", (DISPATCHED["login"],), {}))

urlpatterns = [
    *[path(f"{PREFIX}{view}/{name}/", DECORATORS[name](VIEWS[view])) for view in VIEWS for name in DECORATORS],
    path(f"{PREFIX}async/async-test/", user_passes_test(is_otto)(answer_async)),
    *[path(f"{PREFIX}dispatch/{name}/", cls.as_view()) for name, cls in DISPATCHED.items()],
    path(f"{PREFIX}dispatch/twice/", TWICE.as_view()),
    path(f"{PREFIX}handlers/", Handlers.as_view()),
    path("", include("django_asyncexchange.urls")),
]
GUARDED = [f"/{pattern.pattern}" for pattern in urlpatterns[:-1]]
KINDS = sorted({url.split("/")[4] for url in GUARDED})


@pytest.mark.urls(__name__)
class TestDecorators:
    @pytest.fixture(params=["nobody", "anna", "trusted anna", "otto"])
    def caller(self, request, anna, nobody):
        if request.param == "nobody":
            return nobody
        if request.param == "trusted anna":
            anna.user_permissions.add(Permission.objects.get(codename="add_group"))
        client = Client(raise_request_exception=False)
        client.force_login(User.objects.create_user("otto") if request.param == "otto" else anna)
        return client

    @pytest.mark.product("caller", "kind")
    @pytest.mark.parametrize("kind", KINDS)
    def test_refusal_of_a_decorator_is_the_same_at_submit(self, caller, kind, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/*"]}
        for url in (url for url in GUARDED if url.split("/")[4] == kind):
            for method in ("GET", "POST", "PUT"):
                doors.ran.clear()
                now = caller.generic(method, f"{url}?x=1")
                ran = len(doors.ran)
                doors.ran.clear()
                asked = (
                    {"path": f"{url}?x=1&async=true"}
                    if method == "GET"
                    else {"path": f"{url}?x=1", "headers": SOLITUDE}
                )
                later = caller.generic(method, **asked)
                if ran and "sessionid" in caller.cookies:
                    assert (later.status_code, len(doors.ran)) == (202, 1), (method, url)
                elif ran:
                    assert (later.status_code, doors.ran) == (401, []), (method, url)  # anonymous, and the view is open
                else:
                    assert is_same(later, now), (method, url)
                    assert doors.ran == [], (method, url)
        assert set(AsyncTask.objects.values_list("state", flat=True)) <= {"DONE"}

    def test_test_func_of_a_decorator_is_called_once(self, session):
        # A decorator asked first and called afterwards could let a call through to its view.
        answers = iter([False, True])
        view = user_passes_test(lambda user: next(answers))(doors.answer)
        request = RequestFactory().get("/")
        request.user = User.objects.get()
        assert decorator_checks.refusal(request, view, (), {}).status_code == 302
        assert doors.ran == []


@pytest.mark.django_db(transaction=True)
def test_csrf_protect_of_a_view_is_checked_at_submit(settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create(username="browser"))
    at_once, later = (browser.post("/zoo/guarded-form/", {"a": "1"}, headers=headers) for headers in ({}, SOLITUDE))
    assert (at_once.status_code, later.status_code) == (403, 403)
    assert not AsyncTask.objects.exists()


class OwnLogin(LoginView):
    """A project's own."""


@pytest.mark.parametrize(
    ("view", "is_eligible"),
    [
        (LoginView.as_view(), False),
        (OwnLogin.as_view(), False),
        (allow_async(OwnLogin.as_view()), True),
        (admin.site.login, False),
        (admin.site.index, True),
    ],
    ids=["login", "subclass", "marked", "login of the admin", "another of the admin"],
)
def test_login_is_not_meant_by_a_dialect_that_takes_every_view(rf, view, is_eligible):
    request = rf.post("/accounts/login/")
    assert admission.is_eligible(request, view, conf.dialect("solitude")) is is_eligible
