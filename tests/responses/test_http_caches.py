"""HTTP caches of a project: a deferred run neither reads nor fills them for other callers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from django.utils.cache import get_cache_key, learn_cache_key
from django.views.decorators.cache import cache_control, cache_page
from django.views.decorators.vary import vary_on_cookie

from django_asyncexchange.decorators import never_async

from ..services import exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SITE = "django.middleware.cache.{}CacheMiddleware"
LATER = {"Prefer": "respond-async"}


def named(request):
    return HttpResponse(f"for {request.user.username or 'anybody'}")


@never_async
def never(request):
    return named(request)


def kept_by_hand(request):
    """A project's own cache, with the functions that Django documents."""
    key = get_cache_key(request)
    if key and (kept := cache.get(key)) is not None:
        return kept
    response = named(request)
    cache.set(learn_cache_key(request, response), response)
    return response


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("plain/", named),
    path("never/", never),
    path("site/plain/", named),
    path("varied/", vary_on_cookie(named)),
    path("page/", cache_page(60)(named)),
    path("varied-page/", cache_page(60)(vary_on_cookie(named))),
    path("by-hand/", kept_by_hand),
    path("public/", cache_control(public=True, max_age=60)(named)),
]
MOYSKLAD = "django_asyncexchange.dialects.moysklad.MoySklad"
PAGES = ["/plain/", "/varied/", "/page/", "/varied-page/", "/by-hand/", "/public/"]


@pytest.fixture(autouse=True)
def site(settings, request):
    """A project with a per-site cache, in a cache of this test."""
    settings.MIDDLEWARE = [SITE.format("Update"), *settings.MIDDLEWARE[:-1], SITE.format("FetchFrom")]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django_asyncexchange.middleware.AsyncExchangeMiddleware"]
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": request.node.name}}
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/*"])


@pytest.fixture
def anna(db):
    return logged_in("anna")


class Stranger(Client):
    """Sends no ``Cookie`` header, like a real client; Django's test client sends an empty one."""

    def _base_environ(self, **request):
        environ = super()._base_environ(**request)
        del environ["HTTP_COOKIE"]
        return environ


def logged_in(name):
    client = Client()
    client.force_login(User.objects.create_user(name))
    return client


def later(client, address, prefer="respond-async"):
    """The response of the deferred run."""
    accepted = client.get(address, headers={"Prefer": prefer})
    return client.get(accepted.headers["Location"] + "/result")


@pytest.mark.parametrize("address", PAGES)
def test_response_of_a_run_is_not_cached_for_others(anna, address):
    assert later(anna, address).content == b"for anna"
    assert Stranger().get(address).content == b"for anybody"
    assert logged_in("otto").get(address).content != b"for anna"


@pytest.mark.parametrize("address", PAGES)
def test_response_of_a_run_is_not_cached_for_another_run(anna, address):
    assert later(anna, address).content == b"for anna"
    assert later(logged_in("otto"), address).content == b"for otto"


@pytest.mark.parametrize("address", ["/varied/", "/varied-page/"])
def test_run_does_not_read_the_cache_of_anonymous_readers(anna, address):
    assert Stranger().get(address).content == b"for anybody"
    assert later(anna, address).content == b"for anna"


def test_run_has_the_cache_headers_of_a_cached_page(anna):
    now, then = Stranger().get("/page/"), later(anna, "/page/")
    assert now.headers["Cache-Control"] == "max-age=60"
    assert "max-age=60" in then.headers["Cache-Control"]
    assert then.headers["Expires"]


def test_run_leaves_nothing_in_the_page_cache(anna):
    assert later(anna, "/page/").content == b"for anna"
    assert len(cache._cache) == 0


def test_result_endpoint_serves_nothing_from_the_cache_to_others(anna):
    accepted = anna.get("/public/", headers=LATER)
    address = accepted.headers["Location"] + "/result"
    assert anna.get(address).content == b"for anna"
    assert logged_in("otto").get(address).status_code == 404
    assert Stranger().get(address).status_code == 401


def test_response_after_wait_is_not_cached_for_others(anna):
    waited = anna.get("/public/", headers={"Prefer": "respond-async, wait=5"})
    assert (waited.status_code, waited.content) == (200, b"for anna")
    assert logged_in("otto").get("/public/", headers={"Prefer": "respond-async, wait=5"}).content == b"for otto"
    assert Stranger().get("/public/").content == b"for anybody"


# Vary: Prefer ---------------------------------------------------------------------------------------------------------

WAITING = {"Prefer": "respond-async, wait=5"}


def vary(response):
    return [name.strip() for name in response.get("Vary", "").split(",")]


@pytest.fixture
def uncached(settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "CacheMiddleware" not in name]


@pytest.mark.parametrize("headers", [{}, LATER, WAITING, {"Prefer": "return=minimal"}])
def test_every_response_of_a_marked_view_varies_on_prefer(anna, uncached, headers):
    assert vary(anna.get("/plain/", headers=headers)).count("Prefer") == 1


def test_stored_response_varies_on_prefer(anna, uncached):
    assert "Prefer" in vary(later(anna, "/plain/"))


def test_unmarked_view_does_not_vary_on_prefer(anna, uncached):
    assert "Prefer" not in vary(anna.get("/never/", headers=LATER))


def test_no_view_varies_on_prefer_without_the_prefer_mount(anna, settings, uncached):
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/*"], DIALECTS={"solitude": {}, "prefer": None})
    assert "Prefer" not in vary(anna.get("/plain/", headers=LATER))


def test_cached_page_does_not_answer_a_preference(anna):
    assert anna.get("/plain/").content == anna.get("/plain/").content == b"for anna"
    assert anna.get("/plain/", headers=LATER).status_code == 202


def test_response_after_wait_has_no_store(anna, uncached):
    waited = anna.get("/public/", headers=WAITING)
    assert (waited.status_code, waited["Cache-Control"]) == (200, "no-store")


def test_moysklad_response_after_wait_varies_on_prefer(anna, settings, uncached, moved_mounts):
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/*"], DIALECTS={"reports": {"CLASS": MOYSKLAD, "PREFIX": "/site"}})
    waited = anna.get("/site/plain/?async=true", headers={"Prefer": "wait=5"})
    assert (waited.status_code, waited["Cache-Control"]) == (200, "no-store")
    assert "Prefer" in vary(waited)
    assert "Prefer" in vary(anna.get("/site/plain/?async=true"))


def test_repeated_ready_does_not_lengthen_cache_keys():
    request = RequestFactory().get("/page/")
    request.async_task = SimpleNamespace(id="the-id", attempt=1)
    for _ in range(3):
        apps.get_app_config("asyncexchange").ready()
    assert learn_cache_key(request, HttpResponse()).count("the-id") == 1
