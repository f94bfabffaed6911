"""The marks themselves. Their effect on calls: test_admission."""

from __future__ import annotations

import datetime as dt

import pytest
from django.views.generic import View

from django_asyncexchange.decorators import allow_async, never_async
from django_asyncexchange.intake.admission import MARK, RETENTION

DAY = dt.timedelta(days=1)


@pytest.mark.parametrize(("decorate", "mark"), [(allow_async, True), (never_async, False)])
def test_mark_is_set(decorate, mark):
    assert getattr(decorate(lambda request: None), MARK) is mark


def test_bound_method_can_be_marked():
    class Site:
        def index(self, request):
            return request

    view = Site().index
    assert allow_async(retention=DAY)(view) is view
    assert (getattr(Site().index, MARK), getattr(Site().index, RETENTION)) == (True, DAY)


@pytest.mark.parametrize("decorate", [allow_async, never_async])
def test_marked_view_is_the_view_itself(decorate):
    def fresh(request):
        return request

    assert decorate(fresh) is fresh


def test_last_mark_counts():
    assert getattr(never_async(allow_async(lambda request: None)), MARK) is False


def test_mark_of_a_class_is_inherited():
    @allow_async
    class Parent(View):
        pass

    class Child(Parent):
        pass

    assert getattr(Child, MARK) is True


def test_mark_of_a_subclass_does_not_mark_its_parent():
    class Parent(View):
        pass

    @never_async
    class Child(Parent):
        pass

    assert getattr(Child, MARK) is False
    assert not hasattr(Parent, MARK)


def test_mark_of_a_view_function_is_not_shared_by_its_class():
    assert hasattr(allow_async(View.as_view()), MARK)
    assert not hasattr(View.as_view(), MARK)
