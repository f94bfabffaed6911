"""``manage.py check`` names marks that a decorator hides, and no others.

As a module it is also a URLconf, with one such mark.
"""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import pytest
from django.core import checks
from django.http import HttpResponse
from django.test import override_settings
from django.urls import clear_url_caches, include, path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View
from ninja import NinjaAPI
from rest_framework.decorators import api_view
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_asyncexchange.checks import CheckId
from django_asyncexchange.decorators import allow_async, never_async

from ..services import exchange


def hides(view: Any) -> Any:
    """A decorator without ``functools.wraps``."""

    def inner(request: Any) -> Any:
        return view(request)

    return inner


def hands_on(view: Any) -> Any:
    return functools.wraps(view)(hides(view))


class Hides:
    """A decorator that is an object."""

    def __init__(self, view: Any) -> None:
        self.view = view

    def __call__(self, request: Any) -> Any:
        return self.view(request)


def plain(request: Any) -> HttpResponse:
    return HttpResponse()


def report(decorate: Any = allow_async) -> Any:
    """A new view for each mark."""

    def report(request: Any) -> HttpResponse:
        return plain(request)

    return decorate(report)


def viewset(handler: Any, **marks: Any) -> Any:
    return type("Reports", (ViewSet,), {"list": handler, **marks}).as_view({"get": "list"})


def class_based(base: Any = View, handler: Any = plain, **marks: Any) -> Any:
    return type("Report", (base,), {"get": handler, **marks}).as_view()


def of_ninja(decorate: Any) -> Any:
    api = NinjaAPI(urls_namespace=f"marks, {decorate.__name__}", docs_url=None, openapi_url=None)
    api.get("/report")(decorate(report()))
    return api.urls


ours = path("", include("django_asyncexchange.urls"))
urlpatterns = [path("report/", hides(report())), ours]


@pytest.fixture(autouse=True)
def mounts(settings):
    settings.ASYNC_EXCHANGE = exchange(DIALECTS={"solitude": {}, "prefer": {"PREFIX": "/async"}})


class Project:
    """A URLconf."""

    def __init__(self, patterns: Any) -> None:
        self.urlpatterns = [*patterns, ours]


def named(*patterns: Any, **changes: Any) -> list[str]:
    """The messages about marks in a project with these URL patterns."""
    with override_settings(ROOT_URLCONF=Project(patterns), **changes):
        found = checks.run_checks(tags=[checks.Tags.urls])
    clear_url_caches()
    return [message.msg for message in found if message.id == CheckId.MARK_UNHEARD]


HIDDEN = {
    "a function": lambda: hides(report()),
    "by an object": lambda: Hides(report()),
    "by a partial": lambda: functools.partial(report()),
    "by a partial that has it as an argument": lambda: functools.partial(lambda view, request: view(request), report()),
    "below another decorator": lambda: csrf_exempt(hides(report())),
    "above another decorator": lambda: hides(hands_on(report())),
    "twice": lambda: hides(hides(report())),
    "never_async": lambda: hides(report(never_async)),
    "a class": lambda: hides(class_based(async_exchange=True)),
    "a class of REST framework": lambda: hides(class_based(APIView, async_exchange=True)),
    "a method": lambda: class_based(handler=hides(report())),
    "a method of a class that is decorated": lambda: hides(class_based(handler=report())),
    "an action": lambda: viewset(hides(report())),
    "below api_view": lambda: api_view()(hides(report())),
    "above api_view": lambda: hides(api_view()(report())),
    "never_async of a method in a class that allows": lambda: class_based(
        handler=hides(report(never_async)), async_exchange=True
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_mark_is_reported_with_its_url(name):
    [said] = named(path("reports/<int:pk>/", HIDDEN[name]()))
    assert "/reports/" in said and "eport" in said


def test_hidden_mark_of_a_ninja_operation_is_reported():
    assert len(named(path("api/", of_ninja(hides)))) == 1


SEEN = {
    "no mark": lambda: hides(plain),
    "a mark": report,
    "functools.wraps": lambda: hands_on(report()),
    "functools.wraps around what hides": lambda: hands_on(allow_async(hides(report()))),
    "a mark above": lambda: allow_async(hides(report())),
    "another mark above": lambda: never_async(hides(report())),
    "a class": lambda: class_based(async_exchange=True),
    "a method below method_decorator": lambda: class_based(handler=method_decorator(hands_on)(report())),
    "a method of a class that says the same": lambda: class_based(handler=hides(report()), async_exchange=True),
    "an action": lambda: viewset(report()),
    "below api_view": lambda: api_view()(report()),
    "an object that has every attribute": lambda: hides(mock.MagicMock()),
    "a mock": mock.MagicMock,
}


@pytest.mark.parametrize("name", SEEN)
def test_visible_mark_is_not_reported(name):
    assert named(path("report/", SEEN[name]())) == []


def test_visible_mark_of_a_ninja_operation_is_not_reported():
    assert named(path("api/", of_ninja(hands_on))) == []


def test_mark_visible_at_another_url_is_not_reported():
    view = report()
    assert named(path("report/", view), path("report-at-once/", hides(view))) == []


def test_view_with_several_urls_is_reported_once():
    view = hides(report())
    assert len(named(path("one/", view), path("two/", view))) == 1


def test_inherited_method_does_not_hide_the_mark_of_a_subclass():
    class Parent(View):
        async_exchange = True

        def get(self, request: Any) -> HttpResponse:
            super().setup(request)
            return HttpResponse()

    class Child(Parent):
        async_exchange = False

    assert named(path("report/", Child.as_view())) == []


@pytest.mark.parametrize("entry", ["reports", "/report/*", "/rep*"])
def test_view_listed_in_views_is_not_reported(entry):
    listed = exchange(VIEWS=[entry])
    assert named(path("report/<int:pk>/", hides(report()), name="reports"), ASYNC_EXCHANGE=listed) == []


@pytest.mark.parametrize(("decorate", "is_named"), [(allow_async, False), (never_async, True)])
def test_only_never_async_is_reported_when_every_view_is_eligible(decorate, is_named):
    every = exchange(DIALECTS={"solitude": {}, "prefer": None})
    assert bool(named(path("report/", hides(report(decorate))), ASYNC_EXCHANGE=every)) == is_named


def test_never_async_is_not_reported_when_only_marked_views_are_eligible():
    none = exchange(DIALECTS={"prefer": {"PREFIX": "/async"}})
    assert named(path("report/", hides(report(never_async))), ASYNC_EXCHANGE=none) == []
