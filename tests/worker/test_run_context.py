"""``request.async_task``: what a view may know of its run, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from django.http import JsonResponse
from django.urls import path

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.run_context import RunContext
from django_asyncexchange.worker import runner

from ..services import stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

seen: list[RunContext] = []


def view(request):
    seen.append(request.async_task)
    request.async_task.report(2, total=8, message="half of it")
    return JsonResponse({})


view.async_exchange = True
urlpatterns = [path("view/", view)]


@pytest.fixture
def context():
    seen.clear()
    runner.run(str(stored(to="/view/").pk))
    return seen[0]


def test_view_gets_the_documented_context(context):
    assert type(context) is RunContext


def test_context_has_the_values_of_its_task(context):
    task = AsyncTask.objects.get()
    assert (context.id, context.attempt, context.url, context.method) == (task.pk, 1, task.url, task.method)
    assert (context.dialect, context.owner.account, context.created) == (task.dialect, task.account, task.created)
    assert context.state == "PROCESSING"
    assert context.started is not None


def test_context_shows_what_was_reported(context):
    assert (context.progress.done, context.progress.total, context.progress.message) == (2, 8, "half of it")


def test_context_cannot_be_changed(context):
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.attempt = 2


def test_context_shows_nothing_of_the_watchdog(context):
    public = {name for name in dir(context) if not name.startswith("_")}
    fields = {field.name for field in dataclasses.fields(context) if not field.name.startswith("_")}
    assert public == fields | {"is_cancelled", "progress", "report"}
