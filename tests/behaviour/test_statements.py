"""The SQL statements of each operation: one more is a decision, not an accident."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django_q.brokers.orm import ORM

from django_asyncexchange.conf import conf
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.executors.django_q.orm_broker import WakingBroker
from django_asyncexchange.models import AsyncTask, Delivery, Webhook
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.sql.writes import can_write_at_once
from django_asyncexchange.store import statements, transitions
from django_asyncexchange.tasks import dispatch, estimates, lifecycle, pruning, recovery
from django_asyncexchange.webhooks import delivery
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange, soon, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

WHO = ["SELECT session", "SELECT user"]
LATER = {"Prefer": "respond-async"}
FORM = {"content_type": "text/plain", "headers": LATER}
BEGIN, END = "BEGIN", "COMMIT"
DISPATCH = "UPDATE asynctask"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """A worker runs one call."""
    monkeypatch.setattr(runner, "SLICE_SECONDS", 0)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        lifecycle.claim(transitions.NONE)  # compiling a claim begins a transaction
        runner.run_ready()
        yield


@pytest.fixture
def anna(client, django_user_model):
    user = django_user_model.objects.create_user("anna")
    client.force_login(user)
    client.user = user
    return client


def asked(work: Callable[[], Any]) -> list[str]:
    """The statements of ``work``, as verb and table."""
    with CaptureQueriesContext(connection) as queries:
        work()
    return [short(query["sql"]) for query in queries]


def short(sql: str) -> str:
    while "COUNT" not in sql and (outer := re.sub(r"\([^()]*\)", "", sql)) != sql:
        sql = outer  # without subqueries
    found = re.match(r'(?:SELECT.*? FROM|INSERT INTO|UPDATE|DELETE FROM) [`"]([a-z_]+)[`"]', sql, re.S)
    return f"{sql.split()[0]} {found[1].rpartition('_')[2]}" if found else sql.split()[0]


def done(task: AsyncTask) -> None:
    runner.run(str(task.pk))
    assert AsyncTask.objects.get(pk=task.pk).state == State.DONE


def written(*statements: str) -> list[str]:
    """A transaction, or the one statement that they are on PostgreSQL."""
    return ["WITH"] if can_write_at_once("default") else [BEGIN, *statements, END]


def test_submit_inserts_one_row(anna):
    submit = lambda: anna.get("/answers/200/", headers=LATER)  # noqa: E731
    submit()
    assert asked(submit) == [*WHO, *written("INSERT asynctask")]


def test_submit_with_a_body_inserts_two_rows(anna):
    submit = lambda: anna.post("/answers/200/", "a=1", **FORM)  # noqa: E731
    submit()
    assert asked(submit) == [*WHO, *written("INSERT asynctask", "INSERT body")]


def test_run_is_a_claim_the_view_and_an_end(anna):
    for _ in range(2):
        anna.get("/answers/200/", headers=LATER)
    first, second = AsyncTask.objects.all()
    done(first)
    end = written("UPDATE asynctask", "INSERT body", DISPATCH)
    expected = ["UPDATE asynctask", "SELECT user", *end]
    assert asked(lambda: runner.run(str(second.pk))) == expected


def test_small_request_body_is_read_by_the_claim_and_deleted_by_the_end(anna):
    for _ in range(2):
        anna.post("/answers/200/", "a=1", **FORM)
    first, second = AsyncTask.objects.all()
    done(first)
    end = written("UPDATE asynctask", "DELETE body", "INSERT body", DISPATCH)
    expected = ["UPDATE asynctask", "SELECT user", *end]
    assert asked(lambda: runner.run(str(second.pk))) == expected


def test_larger_request_body_is_read_after_the_claim(anna):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, INLINE_BYTES=2 * statements.SMALL_BODY)):
        for _ in range(2):
            anna.post("/answers/200/", "a" * (statements.SMALL_BODY + 1), **FORM)
    first, second = AsyncTask.objects.all()
    done(first)
    read = ["SELECT body", "SELECT asynctask"]
    end = [BEGIN, "UPDATE asynctask", "DELETE body", "INSERT body", END]
    expected = ["UPDATE asynctask", *read, "SELECT user", *end]
    assert asked(lambda: runner.run(str(second.pk))) == expected


def test_end_dispatches_the_next_task_of_its_account(anna):
    first, claim = (lifecycle.claim(stored(dialect="prefer", account="one").pk) for _ in range(2))
    lifecycle.fail(first, Reason.EXCEPTION)
    stored(dialect="prefer", account="one")
    stored(dialect="prefer", account="two")
    ended = asked(lambda: lifecycle.fail(claim, Reason.EXCEPTION))
    assert ended == written("UPDATE asynctask", "UPDATE asynctask")


CLAIM, NOTHING_READY = "UPDATE asynctask", ["UPDATE asynctask", "SELECT asynctask"]


@pytest.fixture
def calls(anna):
    """``calls(number, share=...)``: submits calls, after others have run."""

    def submit(number, share):
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS={"prefer": {"SHARE": share}})):
            for count in (3, number):
                for _ in range(count):
                    anna.get("/answers/200/", headers=LATER)
                if count != number:
                    runner.run_ready()
            return asked(runner.run_ready)

    return submit


def test_next_task_is_claimed_with_the_end_of_the_last(calls, monkeypatch):
    monkeypatch.setattr(runner, "SLICE_SECONDS", 3600)
    end = ["UPDATE asynctask", "INSERT body", DISPATCH]
    each = ["SELECT user", *written(*end, CLAIM)]
    assert calls(2, share=5) == [CLAIM, *each, *each, *NOTHING_READY]


def test_next_task_of_a_full_share_is_dispatched_and_claimed_with_the_end_of_the_last(calls, monkeypatch):
    """PostgreSQL claims in the same statement a task that was dispatched before, and otherwise in the next one."""
    monkeypatch.setattr(runner, "SLICE_SECONDS", 3600)
    end = ["UPDATE asynctask", "INSERT body", DISPATCH]
    one = ["SELECT user", *written(*end, CLAIM), *[CLAIM] * can_write_at_once("default")]
    assert calls(2, share=1) == [CLAIM, *one, "SELECT user", *written(*end, CLAIM), *NOTHING_READY]


def test_look_without_ready_tasks_costs_two_statements():
    stored(State.DONE)
    assert asked(runner.run_ready) == NOTHING_READY


def test_repeated_message_costs_two_statements(anna):
    task = stored(State.DONE)
    assert asked(lambda: runner.run(str(task.pk))) == ["UPDATE asynctask", "SELECT asynctask"]


def test_claim_with_subscribers_looks_for_webhooks(anna):
    task = stored(dialect="prefer", account="one")
    Webhook.objects.create(dialect="prefer", account="one", url="http://here/", action=Webhook.CREATE)
    claim = ["UPDATE asynctask", "SELECT asynctask", BEGIN, "UPDATE asynctask", "SELECT webhook", END]
    assert asked(lambda: lifecycle.claim(task.pk)) == claim


NOTIFICATION = ["SELECT"] * (connection.vendor == "postgresql")


@pytest.mark.parametrize(
    ("broker", "send"), [(ORM, ["INSERT ormq"]), (WakingBroker, NOTIFICATION)], ids=["message", "wake-up"]
)
def test_dispatch_is_a_transaction_with_its_message(monkeypatch, broker, send):
    monkeypatch.setattr(DjangoQ, "_broker", lambda self, job: broker("tests"))
    dialect = conf.dialect("prefer")
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR="django_asyncexchange.executors.django_q.DjangoQ")):
        stored(dialect="prefer", account="one")
        dispatch.dispatch_account(dialect, "one")
        stored(dialect="prefer", account="one")
        dispatched = [BEGIN, "UPDATE asynctask", *send, END]
        nothing = [BEGIN, "UPDATE asynctask", END]
        assert asked(lambda: dispatch.dispatch_account(dialect, "one")) == [*dispatched, *nothing]


def test_message_and_notification_are_one_statement(anna):
    executor = DjangoQ()
    executor.send("one")
    assert asked(lambda: executor.send("two")) == ["INSERT ormq"]


@pytest.fixture
def poll(anna):
    """Polls a task of hers; run times for the estimate were read before."""

    def poll(task):
        return asked(lambda: anna.get(f"/async/tasks/{task.pk}"))

    poll(stored(State.PROCESSING, owner=anna.user, dialect="prefer"))
    return poll


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_task_status_is_one_select_after_authentication(anna, poll, state):
    assert poll(stored(state, owner=anna.user, dialect="prefer")) == ["SELECT asynctask", *WHO]


@pytest.mark.parametrize("is_dispatched", [True, False])
def test_status_of_a_pending_task_counts_those_before_it(anna, poll, is_dispatched):
    task = stored(owner=anna.user, dialect="prefer", sent=soon() if is_dispatched else None)
    assert poll(task) == ["SELECT asynctask", *WHO, "SELECT asynctask"]


@pytest.mark.parametrize(("state", "statements"), [(State.DONE, 0), (State.PROCESSING, 1), (State.PENDING, 2)])
def test_first_poll_of_an_unfinished_task_reads_run_times(anna, poll, state, statements):
    estimates.clear_cache()
    task = stored(state, owner=anna.user, dialect="prefer")
    assert poll(task) == ["SELECT asynctask", *WHO, *["SELECT asynctask"] * statements]


def test_first_submit_reads_run_times(anna):
    submit = lambda: anna.get("/answers/200/", headers=LATER)  # noqa: E731
    submit()
    estimates.clear_cache()
    assert asked(submit) == [*WHO, *written("INSERT asynctask"), "SELECT asynctask"]


@pytest.mark.parametrize("method", ["get", "delete"])
def test_task_endpoint_ignores_atomic_requests(anna, monkeypatch, method):
    """On SQLite a transaction would wait for the only write lock, which a writing run holds."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    task = stored(owner=anna.user, dialect="prefer")
    assert asked(lambda: getattr(anna, method)(f"/async/tasks/{task.pk}"))[:3] == ["SELECT asynctask", *WHO]


def test_list_page_is_a_count_and_a_select(anna):
    for _ in range(3):
        stored(State.DONE, owner=anna.user, dialect="prefer")
    expected = [*WHO, "SELECT asynctask", "SELECT asynctask"]
    assert asked(lambda: anna.get("/async/tasks?state=DONE&order_by=-deletion_date")) == expected


def test_cancellation_is_a_select_and_a_transaction(anna):
    task = stored(owner=anna.user, dialect="prefer")
    end = [BEGIN, "UPDATE asynctask", "DELETE body", END]
    expected = ["SELECT asynctask", *WHO, *end, "SELECT body"]
    assert asked(lambda: anna.delete(f"/async/tasks/{task.pk}")) == expected


def test_idle_sweep_selects_once_for_each_kind_of_work():
    stored(State.DONE)
    assert asked(dispatch.sweep) == ["SELECT asynctask"]
    assert asked(recovery.recover) == ["SELECT asynctask", "SELECT asynctask"]
    assert not Delivery.objects.exists()
    assert asked(delivery.sweep) == ["SELECT delivery", "SELECT delivery", "SELECT delivery"]


def test_idle_prune_deletes_stale_workers_only():
    stored(State.DONE)
    done = [seen for seen in asked(pruning.prune) if not seen.startswith("SELECT")]
    assert done == ["BEGIN", "DELETE worker", "COMMIT"]
