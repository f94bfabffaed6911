"""Real clusters: which of them run calls, and how their workers are shared with the project's own tasks."""

from __future__ import annotations

import contextlib
import signal

import pytest
from django.contrib.auth.models import Group
from django.test import override_settings
from django_q.tasks import async_task

from django_asyncexchange.executors.django_q.orm_broker import WakingBroker
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ...services import answer, exchange, soon, stored, submitted, until
from .test_supervisor import EXECUTOR, STARTING, Command, named

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

MANY = 2000
"""Calls for many slices of one worker."""


@pytest.fixture(autouse=True)
def django_q():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=EXECUTOR)):
        yield


@contextlib.contextmanager
def working(command):
    """The command at work. It has ended all that it runs when the block is over."""
    with command.running("--grace", "30") as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STARTING)


def many_ready():
    first = stored(sent=soon(), to="/answers/200")
    names = [field.attname for field in AsyncTask._meta.concrete_fields if field.attname not in ("id", "created")]
    values = {name: getattr(first, name) for name in names}
    AsyncTask.objects.bulk_create([AsyncTask(**values) for _ in range(MANY)])


def note_ready():
    """A task of the project's own: it notes how many calls are ready when it runs."""
    Group.objects.create(name=f"{AsyncTask.objects.ready().count()} ready")


def test_task_of_the_projects_own_starts_although_many_calls_are_ready(tmp_path):
    many_ready()
    with working(Command(tmp_path)):
        until(AsyncTask.objects.filter(state=State.DONE).exists, STARTING)
        async_task(f"{__name__}.note_ready", q_options={"broker": WakingBroker(), "save": False})
        noted = until(Group.objects.first, STARTING)
        assert int(noted.name.split()[0]) > 0


def test_calls_run_in_the_cluster_of_their_queue_only(tmp_path):
    given = exchange(EXECUTOR=EXECUTOR, QUEUES={"run": "letters"})
    with override_settings(ASYNC_EXCHANGE=given), working(Command(tmp_path, run="letters")):
        tasks = [submitted(account=str(number)) for number in range(10)]
        until(lambda: not AsyncTask.objects.exclude(state=State.DONE).exists(), STARTING)
        assert {named(answer(task)["pid"]) for task in tasks} == {"letters"}
