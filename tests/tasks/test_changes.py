"""Waiting for a change of a task."""

from __future__ import annotations

import contextlib

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import changes, lifecycle

from ..services import PATIENCE, stored

pytestmark = pytest.mark.django_db(transaction=True)

each_wait = pytest.mark.parametrize(
    "wait", [changes.until_changed, async_to_sync(changes.auntil_changed)], ids=["thread", "loop"]
)


@each_wait
def test_task_that_has_changed_before_the_wait_is_returned(wait):
    task = stored(State.PENDING)
    lifecycle.cancel(AsyncTask.objects.get(pk=task.pk))
    assert wait(task, PATIENCE).state == State.CANCEL


@each_wait
def test_unchanged_task_is_returned_in_the_end(wait):
    task = stored(State.PENDING)
    assert wait(task, 0) == task


@each_wait
def test_deleted_task_ends_the_wait(wait):
    task = stored(State.PENDING)
    AsyncTask.objects.filter(pk=task.pk).delete()
    assert wait(task, PATIENCE) is None


@each_wait
def test_no_database_connection_is_held_during_the_wait(wait, monkeypatch):
    task, held = stored(State.PENDING), []

    @contextlib.contextmanager
    def watching(watch):
        held.append(main.connection)
        yield

    main = connections[connection.alias]  # both kinds of wait read in this thread here
    monkeypatch.setattr(changes, "watching", watching)
    wait(task, 0)
    assert held == [None]
    assert main.connection is not None
