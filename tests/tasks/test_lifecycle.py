"""Transitions of a task, one by one, without a worker."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import ClassVar

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.test import override_settings

from django_asyncexchange.exceptions import CapacityExceeded, NotCancellable, RequestTooLarge, SubmitFailed
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import FINAL, Reason, State
from django_asyncexchange.signals import task_finished, task_started, task_submitted
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import dispatch, lifecycle, submit
from django_asyncexchange.worker import runner

from ..services import BROKEN, IDLE, Idle, captured, exchange, runs, stored, submitted

pytestmark = pytest.mark.django_db(transaction=True)

JSON = (("Content-Type", "application/json"), ("X-Two", "a"), ("X-Two", "b"))


@pytest.fixture(autouse=True)
def idle():
    """Nothing runs by itself; the dispatched ids."""
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield Idle.sent


@pytest.fixture
def place(tmp_path):
    ours = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    with override_settings(STORAGES={**settings.STORAGES, "asyncexchange": ours}):
        yield tmp_path


@pytest.fixture
def announced():
    """The signals sent, in order: (signal, state)."""
    seen = []
    receivers = {}
    for name, signal in {"submitted": task_submitted, "started": task_started, "finished": task_finished}.items():

        def receive(task, name=name, **kwargs):
            seen.append((name, task.state.value))

        receivers[signal] = receive
        signal.connect(receive)
    yield seen
    for signal, receive in receivers.items():
        signal.disconnect(receive)


def files(place):
    return [path for path in place.rglob("*") if path.is_file()]


def finish(claim, content=b"{}", status=200):
    draft = bodies.write([content], limit=10**7)
    return lifecycle.finish(claim, status=status, reason_phrase="OK", headers=JSON, draft=draft)


def again(task):
    """``task`` as the database has it now."""
    return AsyncTask.objects.get(pk=task.pk)


# Submit ---------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-18", "S002-29")
def test_new_task_is_pending():
    task = again(submitted())
    assert (task.state, task.attempt, task.started, task.finished, task.deletion_date) == (
        "PENDING",
        0,
        None,
        None,
        None,
    )


def test_new_task_has_its_owner():
    task = again(submitted())
    assert (task.account, task.owner_kind, task.owner_reference) == ("one", "application", "7")


def test_captured_call_is_read_back_unchanged():
    call = captured("/ran/é/", "PUT", headers=(("X-A", "1"), ("X-A", "2")), query="a=%20&b", language="ru")
    assert again(submitted(to=call)).captured == call


def test_only_the_id_is_dispatched(idle):
    assert [str(submitted().pk)] == idle


def test_id_is_dispatched_on_commit(idle):
    with transaction.atomic():
        submitted()
        assert idle == []
    assert len(idle) == 1


def test_rolled_back_submit_dispatches_nothing(idle):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        submitted()
        raise ZeroDivisionError
    assert (idle, AsyncTask.objects.count()) == ([], 0)


@pytest.mark.parametrize("size", [1, 200_000])
def test_request_body_is_stored(place, size):
    task = submitted([b"x" * size])
    assert bodies.read(task.bodies.get(kind=Body.REQUEST)) == b"x" * size


def test_body_over_max_request_bytes_is_refused():
    with (
        override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, MAX_REQUEST_BYTES=10)),
        pytest.raises(RequestTooLarge),
    ):
        submitted([b"x" * 11])
    assert (AsyncTask.objects.count(), Body.objects.count()) == (0, 0)


@pytest.mark.seed("S001-10", "S002-6")
def test_task_over_capacity_is_refused():
    for _ in range(4):
        submitted()
    with pytest.raises(CapacityExceeded):
        submitted()
    assert AsyncTask.objects.count() == 4


@pytest.mark.seed("S002-7")
def test_running_tasks_count_towards_capacity():
    for _ in range(4):
        lifecycle.claim(submitted().pk)
    with pytest.raises(CapacityExceeded):
        submitted()


def test_finished_tasks_do_not_count_towards_capacity():
    for _ in range(4):
        lifecycle.cancel(submitted())
    submitted()


def test_capacity_is_per_account():
    for _ in range(4):
        submitted(account="one")
    submitted(account="two")


def test_capacity_is_per_mount():
    for _ in range(4):
        submitted(dialect="moysklad")
    submitted(dialect="kladana")


def test_mount_without_capacity_accepts_all():
    for _ in range(6):
        submitted(dialect="solitude")


def test_refused_call_leaves_no_file(place):
    for _ in range(4):
        submitted()
    with pytest.raises(CapacityExceeded):
        submitted([b"x" * 200_000])
    assert (files(place), Body.objects.count()) == ([], 0)


def test_call_refused_by_the_database_leaves_no_file(place):
    def refuse(execute, sql, params, many, context):
        if "INSERT" in sql and "asynctask" in sql:
            raise DatabaseError("the disk is full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(SubmitFailed):
        submitted([b"x" * 200_000])
    assert (files(place), Body.objects.count(), AsyncTask.objects.count()) == ([], 0, 0)


def test_call_refused_by_the_broker_is_accepted_and_pending(caplog):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=BROKEN)):
        task = submitted()
    assert AsyncTask.objects.values("pk", "state", "sent").get() == {"pk": task.pk, "state": "PENDING", "sent": None}
    assert f"task {task.pk} could not be queued; it is retried" in caplog.text


def test_next_sweep_dispatches_a_call_refused_by_the_broker():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=BROKEN)):
        task = submitted()
    assert (dispatch.sweep(), Idle.sent[-1]) == (1, str(task.pk))


class LostReceipt(Idle):
    """A broker that takes a message and whose receipt is lost."""

    sent: ClassVar[list[str]] = []

    def send(self, id, job="run"):
        super().send(id, job)
        raise TimeoutError("no receipt")


@pytest.mark.urls("tests.services")
def test_message_with_a_lost_receipt_is_sent_again_and_runs_once():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=f"{__name__}.LostReceipt")):
        task = submitted()
    dispatch.sweep()
    for id in LostReceipt.sent[-1], Idle.sent[-1]:
        assert id == str(task.pk)
        runner.run(id)
    assert (runs(), again(task).attempt) == (1, 1)


# Claim ----------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-30")
def test_claimed_task_is_processing():
    claim = lifecycle.claim(submitted().pk)
    assert (claim.task.state, claim.task.attempt) == ("PROCESSING", 1)
    assert claim.task.started is not None


def test_task_is_claimed_once():
    task = submitted()
    assert [lifecycle.claim(task.pk) is None for _ in range(3)] == [False, True, True]
    assert again(task).attempt == 1


@pytest.mark.parametrize("state", FINAL)
def test_finished_task_is_not_claimed(state):
    assert lifecycle.claim(stored(state).pk) is None


def test_unknown_task_is_not_claimed():
    assert lifecycle.claim(uuid.uuid4()) is None


# Finish ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        pytest.param(200, "DONE", "", marks=pytest.mark.seed("S002-31")),
        pytest.param(302, "DONE", ""),
        pytest.param(403, "API_ERROR", "", marks=pytest.mark.seed("S001-46", "S002-34")),
        pytest.param(500, "ERROR", "exception", marks=pytest.mark.seed("S002-32")),
    ],
)
def test_final_state_follows_from_the_status_code(status, state, reason):
    claim = lifecycle.claim(submitted().pk)
    assert finish(claim, status=status)
    assert (again(claim.task).state, again(claim.task).reason, again(claim.task).status_code) == (state, reason, status)


def test_headers_are_stored_in_order_with_duplicates():
    claim = lifecycle.claim(submitted().pk)
    finish(claim)
    assert again(claim.task).headers == JSON


@pytest.mark.parametrize("size", [0, 2, 200_000])
def test_response_body_is_stored(place, size):
    claim = lifecycle.claim(submitted().pk)
    finish(claim, b"x" * size)
    assert bodies.read(again(claim.task).response_body()) == b"x" * size


@pytest.mark.seed("S001-43", "S002-5")
def test_result_is_deleted_an_hour_after_its_end():
    claim = lifecycle.claim(submitted().pk)
    finish(claim)
    assert again(claim.task).deletion_date - again(claim.task).finished == dt.timedelta(hours=1)


@pytest.mark.parametrize(("dialect", "days"), [("moysklad", 7), ("solitude", 1)])
def test_error_is_deleted_after_the_mounts_error_ttl(dialect, days):
    claim = lifecycle.claim(submitted(dialect=dialect).pk)
    finish(claim, status=400)
    assert again(claim.task).deletion_date - again(claim.task).finished == dt.timedelta(days=days)


def test_dates_are_the_databases_time():
    claim = lifecycle.claim(submitted().pk)
    finish(claim)
    now = AsyncTask.objects.with_now().get().now
    assert dt.timedelta(0) <= now - again(claim.task).finished < dt.timedelta(minutes=1)


@pytest.mark.seed("S002-40")
def test_task_is_purged_a_week_after_its_end():
    claim = lifecycle.claim(submitted().pk)
    finish(claim)
    assert again(claim.task).purge_date - again(claim.task).finished == dt.timedelta(days=7)


def test_task_is_finished_once():
    claim = lifecycle.claim(submitted().pk)
    assert [finish(claim, content) is None for content in (b"first", b"second")] == [False, True]
    assert bodies.read(again(claim.task).response_body()) == b"first"


@pytest.mark.seed("S002-64")
def test_late_result_of_a_cancelled_task_is_dropped():
    claim = lifecycle.claim(submitted().pk)
    lifecycle.cancel(claim.task)
    before = AsyncTask.objects.values().get()
    assert not finish(claim)
    assert AsyncTask.objects.values().get() == before


def test_result_recorded_twice_is_kept(place):
    claim = lifecycle.claim(submitted().pk)
    draft = bodies.write([b"x" * 100_000], limit=10**6)
    answer = {"status": 200, "reason_phrase": "OK", "headers": (), "draft": draft}
    assert lifecycle.finish(claim, **answer)
    assert not lifecycle.finish(claim, **answer)
    task = AsyncTask.objects.get()
    assert (task.state, bodies.read(task.response_body())) == (State.DONE, b"x" * 100_000)


def test_body_of_a_late_result_is_deleted(place):
    claim = lifecycle.claim(submitted().pk)
    lifecycle.cancel(claim.task)
    finish(claim, b"x" * 200_000)
    assert (files(place), Body.objects.count()) == ([], 0)


def test_result_of_an_abandoned_attempt_is_dropped():
    abandoned = lifecycle.claim(submitted().pk)
    AsyncTask.objects.transition(State.PENDING)
    current = lifecycle.claim(abandoned.task.pk)
    assert not finish(abandoned, b"old")
    assert (again(current.task).state, again(current.task).attempt, Body.objects.count()) == ("PROCESSING", 2, 0)
    assert finish(current, b"new")
    assert bodies.read(again(current.task).response_body()) == b"new"


def test_task_of_a_removed_mount_can_finish():
    claim = lifecycle.claim(submitted().pk)
    with override_settings(ASYNC_EXCHANGE=exchange(DIALECTS={"solitude": {}})):
        assert finish(claim)
    assert again(claim.task).state == "DONE"


# Fail -----------------------------------------------------------------------------------------------------------------


def test_failed_task_has_no_response():
    claim = lifecycle.claim(submitted().pk)
    assert lifecycle.fail(claim, Reason.RUN_TIMEOUT)
    assert (again(claim.task).state, again(claim.task).reason, again(claim.task).status_code) == (
        "ERROR",
        "run_timeout",
        None,
    )


def test_cancelled_task_does_not_fail():
    claim = lifecycle.claim(submitted().pk)
    lifecycle.cancel(claim.task)
    assert not lifecycle.fail(claim, Reason.EXCEPTION)
    assert again(claim.task).state == "CANCEL"


def test_abandoned_attempt_does_not_fail():
    abandoned = lifecycle.claim(submitted().pk)
    AsyncTask.objects.transition(State.PENDING)
    lifecycle.claim(abandoned.task.pk)
    assert not lifecycle.fail(abandoned, Reason.EXCEPTION)


# Cancel ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(State.PENDING, marks=pytest.mark.seed("S002-63")),
        pytest.param(State.PROCESSING, marks=pytest.mark.seed("S002-64")),
    ],
)
@pytest.mark.seed("S002-33")
def test_unfinished_task_can_be_cancelled(state):
    task = stored(state)
    assert lifecycle.cancel(task).state == "CANCEL"
    assert again(task).state == "CANCEL"
    assert again(task).finished is not None


@pytest.mark.parametrize("state", FINAL)
def test_finished_task_cannot_be_cancelled(state):
    task = stored(state)
    with pytest.raises(NotCancellable):
        lifecycle.cancel(task)
    assert again(task).state == state


def test_cancelled_task_is_not_claimed():
    task = submitted()
    lifecycle.cancel(task)
    assert lifecycle.claim(task.pk) is None


# Rerun ----------------------------------------------------------------------------------------------------------------


def test_rerun_is_a_new_task_with_the_same_call():
    task = submitted([b"payload"])
    new = submit.rerun(again(task))
    assert (new.pk != task.pk, again(new).state, again(new).captured) == (True, "PENDING", again(task).captured)
    assert bodies.read(new.bodies.get(kind=Body.REQUEST)) == b"payload"


def test_rerun_has_the_same_owner():
    new = again(submit.rerun(submitted()))
    assert (new.account, new.owner_kind, new.owner_reference) == ("one", "application", "7")


# Signals --------------------------------------------------------------------------------------------------------------


def test_each_transition_sends_a_signal(announced):
    claim = lifecycle.claim(submitted().pk)
    finish(claim)
    assert announced == [("submitted", "PENDING"), ("started", "PROCESSING"), ("finished", "DONE")]


def test_cancellation_sends_a_signal(announced):
    lifecycle.cancel(submitted())
    assert announced == [("submitted", "PENDING"), ("finished", "CANCEL")]


def test_refused_transition_sends_no_signal(announced):
    task = submitted()
    lifecycle.cancel(task)
    with pytest.raises(NotCancellable):
        lifecycle.cancel(task)
    assert announced == [("submitted", "PENDING"), ("finished", "CANCEL")]


def test_signal_is_sent_on_commit(announced):
    with transaction.atomic():
        submitted()
        assert announced == []
    assert announced == [("submitted", "PENDING")]


def test_rolled_back_transition_sends_no_signal(announced):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        submitted()
        raise ZeroDivisionError
    assert announced == []


def test_exception_of_a_receiver_changes_nothing():
    def break_down(**kwargs):
        raise RuntimeError("a receiver's own mistake")

    task_submitted.connect(break_down)
    try:
        assert again(submitted()).state == "PENDING"
    finally:
        task_submitted.disconnect(break_down)


def test_log_line_has_no_query_string(caplog):
    caplog.set_level("INFO", "django_asyncexchange")
    submitted()
    assert "http://testserver/ran/ is PENDING" in caplog.text
    assert "async=true" not in caplog.text
