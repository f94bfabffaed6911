"""Marks are found where they are set, also after earlier calls of the same view, and nothing is kept for too long."""

from __future__ import annotations

import functools
import gc
import weakref

import pytest
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path
from django.views.generic import View
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from django_asyncexchange.conf import conf
from django_asyncexchange.decorators import allow_async, never_async
from django_asyncexchange.intake import mark_places
from django_asyncexchange.intake.admission import is_eligible
from django_asyncexchange.intake.mark_places import METHODS

from ..services import exchange

urlpatterns = [path("", include("django_asyncexchange.urls"))]


def is_marked(view, method="GET"):
    request = RequestFactory().generic(method, "/somewhere/")
    request.resolver_match = None
    return is_eligible(request, view, conf.dialect("prefer"))


def plain():
    """A view function."""

    def view(request):
        return HttpResponse()

    return view


def test_mark_that_is_set_after_a_call_counts():
    view = plain()
    assert not is_marked(view)
    assert is_marked(allow_async(view))
    assert not is_marked(never_async(view))


def test_mark_of_a_class_that_is_set_after_a_call_counts():
    class Page(View):
        def get(self, request):
            return HttpResponse()

        def post(self, request):
            return HttpResponse()

    view = Page.as_view()
    assert not is_marked(view)
    Page.async_exchange = {"get"}
    assert is_marked(view)
    assert is_marked(view, "HEAD")
    assert not is_marked(view, "POST")


def test_decorator_that_is_applied_after_a_call_has_places_of_its_own():
    view = plain()
    assert not is_marked(view)

    @allow_async
    @functools.wraps(view)
    def wrapper(request):
        return view(request)

    assert is_marked(wrapper)
    assert not is_marked(view)


def test_wrapper_of_a_class_based_view_is_not_taken_for_the_view():
    """``functools.wraps`` copies what is kept with the view, also to a function that hides another class."""

    @allow_async
    class Marked(View):
        def get(self, request):
            return HttpResponse()

    class Other(View):
        def get(self, request):
            return HttpResponse()

    view = Marked.as_view()
    assert is_marked(view)
    wrapper = functools.wraps(view)(plain())
    wrapper.view_class = Other
    assert not is_marked(wrapper)


def test_handler_that_a_test_replaces_has_its_own_mark(monkeypatch):
    class Page(View):
        @allow_async
        def get(self, request):
            return HttpResponse()

    view = Page.as_view()
    assert is_marked(view)
    with monkeypatch.context() as patch:
        patch.setattr(Page, "get", lambda self, request: HttpResponse())
        assert not is_marked(view)
    assert is_marked(view)


def test_views_of_one_viewset_have_marks_of_their_own_actions():
    class Things(ViewSet):
        async_exchange = {"export"}

        def list(self, request):
            return Response()

        def export(self, request):
            return Response()

    listing, exporting = Things.as_view({"get": "list"}), Things.as_view({"get": "list", "post": "export"})
    for _ in range(2):
        assert not is_marked(listing)
        assert not is_marked(exporting)
        assert is_marked(exporting, "POST")


class Callable:
    """A view without ``__dict__``, to which no weak reference can be made."""

    __slots__ = ()

    def __call__(self, request):
        return HttpResponse()

    def method(self, request):
        return HttpResponse()


@pytest.mark.parametrize(
    "view",
    [Callable(), Callable().method, functools.partial(plain()), Callable],
    ids=["instance", "bound method", "partial", "class"],
)
def test_view_that_is_no_function_is_looked_at_each_time(view):
    assert [is_marked(view), is_marked(view)] == [False, False]
    assert mark_places.KEY not in getattr(view, "__dict__", {})


def test_partial_with_a_mark_is_marked():
    view = functools.partial(plain())
    assert not is_marked(view)
    assert is_marked(allow_async(view))


def test_settings_that_change_after_a_call_count():
    view = plain()
    assert not is_marked(view)
    with override_settings(ASYNC_EXCHANGE=exchange(VIEWS=["/somewhere/"])):
        assert is_marked(view)
    assert not is_marked(view)


def test_mounts_that_are_preferred_change_with_the_settings():
    names = [mount.name for mount in conf.optional_mounts]
    with override_settings(ASYNC_EXCHANGE=exchange(DIALECTS={"prefer": None})):
        assert conf.optional_mounts == ()
    assert [mount.name for mount in conf.optional_mounts] == names == ["prefer"]


def test_methods_that_clients_invent_are_not_kept():
    view = plain()
    for number in range(10):
        is_marked(view, f"INVENTED{number}")
    is_marked(view, "PUT")
    assert set(view.__dict__[mark_places.KEY].places) == {"PUT"} <= METHODS


def test_view_that_is_made_for_one_request_is_freed_after_it_without_the_garbage_collector():
    view = plain()
    is_marked(view)
    kept = weakref.ref(view)
    gc.disable()
    try:
        del view
        assert kept() is None
    finally:
        gc.enable()
