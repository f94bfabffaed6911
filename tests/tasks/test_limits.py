"""Limits: unfinished tasks, submits per minute and stored bytes, exact under concurrency, in each dialect's format."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client, override_settings

from django_asyncexchange.exceptions import CapacityExceeded, StorageExceeded, Throttled
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import pruning

from ..services import IDLE, PATIENCE, exchange, soon, stored, submitted

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.services"),
    pytest.mark.usefixtures("moved_mounts"),
]

CLIENTS = 20
EACH = 10


def mounted(**options):
    """MoySklad's, Solitude's and prefer's dialects with ``options``; nothing runs."""
    return exchange(EXECUTOR=IDLE, DIALECTS={"moysklad": options, "solitude": options, "prefer": options})


# Concurrent submits ---------------------------------------------------------------------------------------------------


def tries(account, barrier):
    """The outcomes of EACH submits in a row: ``None`` or the refusal."""

    def attempt():
        try:
            submitted(account=account)
        except (CapacityExceeded, Throttled) as refusal:
            return type(refusal)

    try:
        connection.ensure_connection()
        barrier.wait(PATIENCE)
        return [attempt() for _ in range(EACH)]
    finally:
        connections.close_all()


def flood(*accounts):
    """200 submits from 20 threads that start together, the accounts in turns; the outcomes, counted."""
    barrier = threading.Barrier(CLIENTS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        ends = pool.map(lambda number: tries(accounts[number % len(accounts)], barrier), range(CLIENTS))
        return Counter(end for row in ends for end in row)


def test_four_of_200_concurrent_submits_are_accepted_at_a_capacity_of_4():
    with override_settings(ASYNC_EXCHANGE=mounted(CAPACITY=4)):
        assert flood("one") == {None: 4, CapacityExceeded: 196}
    assert AsyncTask.objects.count() == 4


def test_each_of_two_accounts_gets_its_capacity_of_200_concurrent_submits():
    with override_settings(ASYNC_EXCHANGE=mounted(CAPACITY=4)):
        assert flood("one", "two") == {None: 8, CapacityExceeded: 192}
    assert Counter(AsyncTask.objects.values_list("account", flat=True)) == {"one": 4, "two": 4}


def test_each_of_20_new_accounts_gets_its_capacity_of_200_concurrent_submits():
    names = [f"account {number}" for number in range(CLIENTS)]
    with override_settings(ASYNC_EXCHANGE=mounted(CAPACITY=4)):
        assert flood(*names) == {None: 80, CapacityExceeded: 120}
    assert Counter(AsyncTask.objects.values_list("account", flat=True)) == dict.fromkeys(names, 4)


def test_rate_is_exact_under_200_concurrent_submits():
    with override_settings(ASYNC_EXCHANGE=mounted(CAPACITY=None, RATE=7)):
        assert flood("one") == {None: 7, Throttled: 193}
    assert AsyncTask.objects.count() == 7


def test_shared_capacity_is_exact_under_200_concurrent_submits():
    with override_settings(ASYNC_EXCHANGE=mounted(CAPACITY=5, SHARED_CAPACITY=True)):
        assert flood("one", "two", "three") == {None: 5, CapacityExceeded: 195}


# Stored bytes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept():
    """The account ``one`` has a stored response of 100 bytes."""
    task = stored(State.DONE, account="one", answer=b"x" * 100)
    assert Body.objects.get().task == task


@pytest.mark.parametrize("account", ["one", "other"])
@pytest.mark.parametrize("room", [100, 101, None])
def test_account_submits_while_its_stored_bytes_are_below_the_limit(kept, account, room):
    with override_settings(ASYNC_EXCHANGE=mounted(STORED_BYTES=room)):
        if (account, room) == ("one", 100):
            with pytest.raises(StorageExceeded):
                submitted(account=account)
        else:
            submitted(account=account)


def test_prune_frees_stored_bytes(kept):
    with override_settings(ASYNC_EXCHANGE=mounted(STORED_BYTES=100)):
        AsyncTask.objects.update(deletion_date=soon(seconds=-1))
        pruning.prune()
        submitted(account="one")


@pytest.mark.parametrize(
    ("dialect", "status", "word"), [("moysklad", 412, 61002), ("solitude", 503, "storage"), ("prefer", 429, "storage")]
)
def test_refusal_over_stored_bytes_has_retry_after(dialect, status, word):
    user = User.objects.create(username="anna")
    stored(State.DONE, owner=user, account=str(user.pk), dialect=dialect, answer=b"x")
    client = Client()
    client.force_login(user)
    with override_settings(ASYNC_EXCHANGE=mounted(STORED_BYTES=1)):
        call = ASKS[dialect]
        response = client.generic(call["method"], call["path"], headers=call.get("headers"))
    assert (response.status_code, response["Retry-After"]) == (status, "5")
    assert CODES.get(dialect, lambda document: document["code"])(response.json()) == word


# Rate -----------------------------------------------------------------------------------------------------------------


MOYSKLAD, SOLITUDE, PREFER = "moysklad", "solitude", "prefer"
ASKS = {
    MOYSKLAD: {"method": "GET", "path": "/ran/?async=true"},
    SOLITUDE: {"method": "POST", "path": "/ran/", "headers": {"Solitude-Async": "yes"}},
    PREFER: {"method": "POST", "path": "/ran/", "headers": {"Prefer": "respond-async"}},
}
CODES = {MOYSKLAD: lambda document: document["errors"][0]["code"], SOLITUDE: lambda document: document["error"]}


@pytest.fixture
def twice():
    """A rate of two calls a minute."""
    with override_settings(ASYNC_EXCHANGE=mounted(CAPACITY=None, RATE=2)):
        yield


def logged_in(name):
    client = Client()
    client.force_login(User.objects.get_or_create(username=name)[0])
    return client


@pytest.mark.parametrize("dialect", ASKS)
def test_call_over_the_rate_is_a_429_with_retry_after(twice, dialect):
    client = logged_in("anna")
    answers = [client.generic(**ASKS[dialect]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert answers[-1].json()
    assert AsyncTask.objects.count() == 2


def test_call_over_the_rate_has_the_dialects_code(twice):
    client = logged_in("anna")
    found = {
        dialect: [client.generic(**ASKS[dialect]) for _ in range(3)][-1].json() for dialect in (MOYSKLAD, SOLITUDE)
    }
    assert {dialect: CODES[dialect](found[dialect]) for dialect in found} == {MOYSKLAD: 1049, SOLITUDE: "throttled"}


def test_rate_is_per_account(twice):
    for _ in range(3):
        logged_in("anna").generic(**ASKS[SOLITUDE])
    assert logged_in("otto").generic(**ASKS[SOLITUDE]).status_code == 202


def test_rate_is_per_mount(twice):
    client = logged_in("anna")
    for _ in range(3):
        client.generic(**ASKS[SOLITUDE])
    assert client.generic(**ASKS[MOYSKLAD]).status_code == 202


def test_finished_task_counts_for_one_minute(twice):
    submitted(account="one")
    stored(State.DONE, account="one", created=soon(seconds=-55))
    with pytest.raises(Throttled):
        submitted(account="one")
    AsyncTask.objects.filter(state=State.DONE).update(created=soon(seconds=-61))
    submitted(account="one")


def test_synchronous_call_does_not_count(twice):
    client = logged_in("anna")
    assert {client.get("/ran/").status_code for _ in range(5)} == {200}
    assert client.generic(**ASKS[SOLITUDE]).status_code == 202


def test_throttled_call_leaves_no_body(twice):
    client = logged_in("anna")
    answers = [client.generic(**ASKS[SOLITUDE], data=b"{}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    assert Body.objects.count() == 2
