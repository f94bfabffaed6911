"""Estimates: queue position, presumable end and ``Retry-After`` of unfinished tasks."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import uuid

import pytest
from django.core.signals import setting_changed
from django.db import connection
from django.test import override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Estimate
from django_asyncexchange.store import queue, transitions
from django_asyncexchange.tasks import estimates

from ..dialects.contract import context
from ..services import IDLE, Failing, exchange, soon, stored

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.services")]

NOW = dt.datetime(2026, 2, 16, 12, 30, tzinfo=dt.UTC)
INLINE = "django_asyncexchange.executors.inline.Inline"
PREFER = {"Prefer": "respond-async"}


@pytest.fixture(autouse=True)
def idle():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield


def ago(seconds):
    return NOW - dt.timedelta(seconds=seconds)


def in_seconds(seconds):
    return NOW + dt.timedelta(seconds=seconds)


def have_run(*seconds, to="/ran/", state=State.DONE, **fields):
    """Tasks that have run for so many seconds each."""
    for each in seconds:
        stored(state, to=to, started=ago(each), finished=NOW, dialect="prefer", **fields)


def running(elapsed=0, *, to="/ran/", **fields):
    """A task that has run for ``elapsed`` seconds, as a poll reads it."""
    task = stored(State.PROCESSING, to=to, started=ago(elapsed), sent=ago(elapsed), **{"dialect": "prefer", **fields})
    task.now = NOW
    return task


def pending(sent=0, *, account="one", **fields):
    """A task that was dispatched ``sent`` seconds ago, or not at all if that is None, as a poll reads it."""
    moment = ago(sent) if sent is not None else None
    task = stored(sent=moment, account=account, **{"dialect": "prefer", "created": ago(sent or 0), **fields})
    task.now = NOW
    return task


# Run times ------------------------------------------------------------------------------------------------------------


def test_run_is_expected_to_take_the_median_of_recent_ones():
    have_run(10, 30, 500)
    assert estimates.of(running(12)) == Estimate(eta=in_seconds(18), retry_after=18)


@pytest.mark.parametrize(
    "recent",
    [
        {"url": "https://elsewhere/ran/?page=7"},
        {"url": "http://testserver/ran/"},
        {"url": "http://testserver/ran/?" + "long=" * 1000},
    ],
    ids=["another host and query", "no query", "long query"],
)
def test_addresses_are_compared_without_host_and_query(recent):
    have_run(30, **recent)
    assert estimates.of(running()).retry_after == 30


@pytest.mark.parametrize(
    "path", ["/orders/17/lines/2/", "/orders/498b8673-0308-11e6-9464-e4de00000089/lines/3/", "/orders/9/lines/1/"]
)
def test_addresses_are_compared_without_ids(path):
    have_run(30, to="/orders/1/lines/2/")
    assert estimates.of(running(to=path)).retry_after == 30


@pytest.mark.parametrize(
    "recent",
    [{"to": "/raised/"}, {"to": "/ran/v2/"}, {"method": "POST"}, {"state": State.API_ERROR}, {"state": State.ERROR}],
    ids=["path", "longer path", "method", "refused", "failed"],
)
def test_runs_of_other_addresses_and_failed_runs_do_not_count(recent):
    have_run(30, **recent)
    assert estimates.of(running()) == Estimate()


def test_run_times_of_another_mount_do_not_count():
    have_run(30)
    assert estimates.of(running(dialect="moysklad")) == Estimate()


def copied(task, number, **changes):
    """So many further rows like that of ``task``, with ``changes``."""
    for _ in range(number):
        task.pk = uuid.uuid4()
        for name, value in changes.items():
            setattr(task, name, value)
        yield copy.copy(task)


def test_newest_runs_count():
    have_run(30, created=ago(100))
    task = AsyncTask.objects.get()
    AsyncTask.objects.bulk_create(copied(task, queue.SAMPLE - 1))
    AsyncTask.objects.bulk_create(copied(task, queue.SAMPLE + 1, created=ago(1000), started=ago(500)))
    assert estimates.of(running()).retry_after == 30


def test_calls_that_wait_hide_no_run_times():
    have_run(30, created=ago(1000))
    AsyncTask.objects.bulk_create(copied(pending(), queue.SAMPLE + 1))
    assert estimates.of(running()).retry_after == 30


# Running tasks --------------------------------------------------------------------------------------------------------


def test_progress_counts_more_than_recent_runs():
    have_run(500)
    task = running(20, progress_done=40, progress_total=100)
    assert estimates.of(task) == Estimate(eta=in_seconds(30), retry_after=30)


@pytest.mark.parametrize("progress", [{"progress_done": 0, "progress_total": 100}, {"progress_done": 7}])
def test_progress_without_a_ratio_is_not_used(progress):
    have_run(50)
    assert estimates.of(running(20, **progress)).retry_after == 30


@pytest.mark.parametrize("done", [100, 170])
def test_run_that_has_done_everything_ends_now(done):
    assert estimates.of(running(600, progress_done=done, progress_total=100)) == Estimate(eta=NOW, retry_after=1)


def test_run_is_not_expected_to_outlast_its_limit():
    limit = conf.policy("prefer").run_limit
    task = running(20, progress_done=1, progress_total=2**63 - 1)
    assert estimates.of(task) == Estimate(eta=task.started + limit, retry_after=60)


@pytest.mark.parametrize(("elapsed", "seconds"), [(30, 1), (31, 1), (40, 1), (50, 2), (230, 20), (10_000, 60)])
def test_late_run_has_no_eta_and_is_polled_less_and_less_often(elapsed, seconds):
    have_run(30)
    expected = Estimate(eta=NOW if elapsed == 30 else None, retry_after=seconds)
    assert estimates.of(running(elapsed)) == expected


@pytest.mark.parametrize(("elapsed", "seconds"), [(0, 1), (10, 1), (11, 2), (200, 20), (10_000, 60)])
def test_run_of_an_unknown_address_is_polled_less_and_less_often(elapsed, seconds):
    assert estimates.of(running(elapsed)) == Estimate(retry_after=seconds)


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (0.2, 1), (1.2, 2), (59.5, 60), (3600, 60)])
def test_retry_after_is_a_whole_number_between_1_and_60(seconds, expected):
    have_run(seconds)
    assert estimates.of(running()).retry_after == expected


# Pending tasks --------------------------------------------------------------------------------------------------------


def test_position_of_a_dispatched_task_counts_those_dispatched_before():
    pending(20, account="one")
    pending(10, account="two")
    task = pending(5)
    pending(1)
    pending(None)
    running(15)
    assert estimates.of(task) == Estimate(queue_position=3)


def test_position_of_a_task_beyond_its_share_counts_older_ones_of_its_account_and_ready_ones():
    pending(20, account="two")
    pending(10)
    pending(None, created=ago(30))
    task = pending(None, created=ago(20))
    pending(None, created=ago(10))
    pending(None, created=ago(40), account="two")
    assert estimates.of(task).queue_position == 4


def test_end_of_a_pending_task_is_after_the_queue_and_its_own_run():
    have_run(6)
    have_run(2, 2, 2, to="/others/")
    running()
    running()
    for sent in range(1, 5):
        pending(sent)
    assert estimates.of(pending()) == Estimate(queue_position=5, eta=in_seconds(5 / 2 * 2 + 6), retry_after=11)


def test_queue_moves_on_while_no_task_runs():
    have_run(6)
    assert estimates.of(pending()) == Estimate(queue_position=1, eta=in_seconds(12), retry_after=12)


def test_pending_task_of_an_unknown_address_has_no_eta_but_is_not_polled_before_its_turn():
    have_run(20, to="/others/")
    assert estimates.of(pending()) == Estimate(queue_position=1, retry_after=20)


@pytest.mark.parametrize("sent", [0, None])
def test_position_beyond_the_limit_is_unknown(monkeypatch, sent):
    monkeypatch.setattr(queue, "MOST", 3)
    have_run(4)
    for number in range(1, 5):
        pending(number)
    assert estimates.of(pending(sent)) == Estimate(retry_after=4 * 4 + 4)


def test_position_is_the_last_one_that_is_counted(monkeypatch):
    monkeypatch.setattr(queue, "MOST", 3)
    for number in range(1, 3):
        pending(number)
    assert estimates.of(pending()).queue_position == 3


def test_deleted_task_has_no_estimate():
    task = pending()
    AsyncTask.objects.all().delete()
    assert estimates.of(task) == Estimate()


@pytest.mark.parametrize("state", [state for state in State if state.is_final])
def test_finished_task_has_no_estimate_and_costs_no_query(django_assert_num_queries, state):
    task = stored(state, dialect="prefer")
    with django_assert_num_queries(0):
        assert estimates.of(task) == Estimate()


def entries_read(work):
    """The index entries that MySQL or MariaDB reads for ``work``."""

    def read():
        with connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_prev')")
            return sum(int(number) for _, number in cursor.fetchall())

    before = read()
    work()
    return read() - before


@pytest.mark.skipif(connection.vendor != "mysql", reason="tests/behaviour/test_query_plans.py has PostgreSQL")
def test_estimate_reads_few_of_many_index_entries_on_mysql():
    have_run(30, account="two", created=ago(60))
    AsyncTask.objects.bulk_create(copied(AsyncTask.objects.get(), 8000), batch_size=500)
    for account, moment in (("one", None), ("two", ago(60))):
        task = pending(account=account)
        AsyncTask.objects.bulk_create(copied(task, 5000, sent=moment, created=ago(60)), batch_size=500)
    for work in (queue.recent, *(functools.partial(queue.ahead_of, pending(sent)) for sent in (0, None))):
        work()
        assert entries_read(work) <= 2 * queue.MOST


# The cache ------------------------------------------------------------------------------------------------------------


def test_run_times_are_kept_for_a_while():
    have_run(30)
    task = running()
    assert estimates.of(task).retry_after == 30
    have_run(10, 10)
    assert estimates.of(task).retry_after == 30


def test_run_times_are_read_again_later(monkeypatch):
    have_run(30)
    task = running()
    assert estimates.of(task).retry_after == 30
    have_run(10, 10)
    monkeypatch.setattr(estimates, "KEEP_SECONDS", 0)
    assert estimates.of(task).retry_after == 10


def test_one_thread_reads_and_others_use_former_run_times(monkeypatch, django_assert_num_queries):
    have_run(30)
    task = running()
    estimates.of(task)
    monkeypatch.setattr(estimates, "KEEP_SECONDS", 0)
    with estimates._reading, django_assert_num_queries(2):  # a savepoint
        assert estimates.of(task).retry_after == 30


def test_changed_settings_clear_the_cache():
    have_run(30)
    task = running()
    estimates.of(task)
    AsyncTask.objects.filter(state=State.DONE).delete()
    setting_changed.send(sender=None, setting="DEBUG", value=True, enter=True)
    assert estimates.of(task) == Estimate()


# Failures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_failing_query_means_no_estimate(caplog, state):
    have_run(30)
    task = running() if state is State.PROCESSING else pending()
    with connection.execute_wrapper(Failing(at=1)):  # after the savepoint
        assert estimates.of(task) == Estimate()
    assert "could not be estimated" in caplog.text


def test_surrounding_transaction_goes_on_after_a_failing_query():
    def spoil(execute, sql, params, many, context):
        return execute(sql.replace(" FROM ", " FROM nowhere.", 1), params, many, context)

    task = running()
    with connection.execute_wrapper(spoil):
        assert estimates.of(task) == Estimate()
    assert AsyncTask.objects.count() == 1


def test_failed_read_is_not_repeated_at_once(django_assert_num_queries):
    task = running()
    with connection.execute_wrapper(Failing(at=1)):
        estimates.of(task)
    with django_assert_num_queries(2):  # a savepoint
        assert estimates.of(task) == Estimate()


# Over HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def anna(client, django_user_model):
    user = django_user_model.objects.create_user("anna")
    client.force_login(user)
    client.user = user
    return client


def submit(client, path="/ran/"):
    response = client.get(path, headers=PREFER)
    assert response.status_code == 202
    return response


def test_accepted_call_is_expected_to_take_as_long_as_recent_ones(anna):
    have_run(30)
    response = submit(anna)
    task = AsyncTask.objects.get(state=State.PENDING)
    assert response["Retry-After"] == "30"
    assert dt.datetime.fromisoformat(response.json()["eta"]) - task.created < dt.timedelta(seconds=30.001)
    assert response.json()["queue_position"] is None


def test_accepted_call_waits_for_those_that_were_ready(anna):
    have_run(8)
    for number in range(1, 3):
        pending(number)
    assert submit(anna)["Retry-After"] == "24"


def test_first_call_of_an_address_is_polled_after_a_second(anna):
    response = submit(anna)
    assert (response["Retry-After"], response.json()["eta"]) == ("1", None)


def test_repeated_call_has_no_estimate(anna):
    have_run(30)
    repeated = [anna.get("/ran/", headers={**PREFER, "Idempotency-Key": "one"}) for _ in range(2)]
    assert [response["Retry-After"] for response in repeated] == ["30", "1"]


def test_call_that_ran_at_once_is_polled_after_a_second(anna):
    have_run(30)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=INLINE)):
        assert submit(anna)["Retry-After"] == "1"


def test_dialect_without_estimates_reads_no_run_times(django_assert_num_queries):
    task, mount = pending(), conf.dialect("solitude")
    with django_assert_num_queries(0):
        assert estimates.add_to(context(), task, mount) == context()


@pytest.fixture
def waiting(anna):
    """A task of hers that waits behind two others."""
    have_run(8)
    for number in range(2, 4):
        pending(number)
    return stored(owner=anna.user, dialect="prefer", sent=soon())


@pytest.mark.parametrize("path", ["tasks/{}", "operations/{}", "tasks/{}/result"])
def test_poll_of_a_waiting_task_has_the_estimate(anna, waiting, path):
    assert anna.get(f"/async/{path.format(waiting.pk)}")["Retry-After"] == str(8 * 3 + 8)


def test_status_document_has_position_and_eta(anna, waiting):
    document = anna.get(f"/async/tasks/{waiting.pk}").json()
    assert document["queue_position"] == 3
    assert dt.datetime.fromisoformat(document["eta"]) > transitions.read(waiting.pk, "prefer").created


def test_list_has_neither_position_nor_eta(anna, waiting):
    rows = anna.get("/async/tasks").json()["results"]
    assert [(row["queue_position"], row["eta"]) for row in rows] == [(None, None)]


def test_estimate_is_sent_by_cisco(anna):
    have_run(8)
    AsyncTask.objects.update(dialect="cisco")
    task = stored(owner=anna.user, dialect="cisco", sent=soon())
    response = anna.get(f"{conf.dialect('cisco').prefix}/asyncrequeststatus/{task.pk}")
    assert (response.status_code, response["Retry-After"]) == (202, "16")
