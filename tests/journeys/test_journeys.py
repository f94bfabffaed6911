"""What every client may rely on, with any broker and any database."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import requests

from ..project.wire import Wire
from ..services import until
from . import cells

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.xdist_group("journeys"),
    pytest.mark.product("journey", "function"),
]
ASKING = {"Prefer": "respond-async"}
PATIENCE = cells.PATIENCE
OURS = {"asyncresult", "cache-control", "date", "sunset", "vary"}
"""Headers that differ between an answer at once and the same one later."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each broker and each database once; with ``--full``, each with each."""
    if "journey" in metafunc.fixturenames:
        chosen = cells.ALL if metafunc.config.getoption("--full") else cells.FEW
        if metafunc.definition.get_closest_marker("wired"):
            chosen = tuple(cell for cell in chosen if cells.BROKERS[cell[0]].server)
        metafunc.parametrize("journey", chosen, indirect=True, ids=" and ".join, scope="module")


class Journey:
    """A site with its workers, and a client."""

    def __init__(
        self, port: int, wire: Wire | None, start_worker: Callable[[], subprocess.Popen[bytes]], said: Callable[[], str]
    ) -> None:
        self.port, self.wire, self.start_worker, self.said = port, wire, start_worker, said
        self.worker = start_worker()

    def replace_worker(self, pid: int) -> None:
        """Restart a worker that has no process but ``pid``; other workers replace their children themselves."""
        if self.worker.pid == pid:
            self.worker.wait(PATIENCE)
            self.worker = self.start_worker()

    def call(self, method: str, path: str, who: str = "anna", **options: Any) -> requests.Response:
        plain = {"Authorization": f"Token token-{who}", "Accept-Encoding": "identity"}
        headers = {**plain, **options.pop("headers", {})}
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, headers=headers, timeout=PATIENCE, allow_redirects=False, **options)

    def submit(self, method: str, path: str, who: str = "anna", **options: Any) -> str:
        """The status URL of a submitted call."""
        accepted = self.call(method, path, who, headers=ASKING, **options)
        assert accepted.status_code == 202, (accepted.text, self.said())
        return accepted.headers["Location"]

    def ended(self, status: str, who: str = "anna") -> str:
        """The result's URL, as soon as there is one."""
        try:
            polled = until(lambda: (now := self.call("GET", status, who)).status_code != 202 and now, 2 * PATIENCE)
        except AssertionError as error:
            raise AssertionError(self.said()) from error
        assert polled.status_code == 303, polled.text
        return polled.headers["Location"]

    def later(self, method: str, path: str, who: str = "anna", **options: Any) -> requests.Response:
        """The result of a submitted call."""
        return self.call("GET", self.ended(self.submit(method, path, who, **options), who), who)

    def monitor(self, status: str) -> dict[str, Any]:
        """The document of a task's monitor."""
        document: dict[str, Any] = self.call("GET", status.replace("/tasks/", "/operations/")).json()
        return document


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The URL of a test database on each server, created at first use."""
    made: dict[str, str] = {}
    name = f"asyncexchange_journeys_{uuid.uuid4().hex[:12]}"
    makers = {
        "SQLite": lambda: cells.sqlite(tmp_path_factory.mktemp("sqlite")),
        "PostgreSQL": lambda: cells.postgresql(name, request.getfixturevalue("postgres_url")),
        "MariaDB": lambda: cells.mariadb(name, request.getfixturevalue("mariadb_url")),
    }
    with contextlib.ExitStack() as stack:

        def database(kind: str) -> str:
            if kind not in made:
                made[kind] = stack.enter_context(makers[kind]())
            return made[kind]

        yield database


@pytest.fixture(scope="module")
def journey(request: pytest.FixtureRequest, databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cell of the matrix, running."""
    broker, database = cells.BROKERS[request.param[0]], databases(request.param[1])
    server = cells.address(broker.server) if broker.server else ""
    name, home = f"journey_{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("journey")
    with contextlib.ExitStack() as stack:
        cast = cells.Cast(home, database, broker, name)
        cast.run("tests.journeys.prepare")
        link, wire = stack.enter_context(cells.wired(server))
        if server:
            stack.callback(cells.clear, server, name)
        start = partial(cast.running, broker.worker, BROKER_URL=server)
        port = free_port()
        web = stack.enter_context(cast.serve(port, BROKER_URL=link))
        journey = Journey(port, wire, lambda: stack.enter_context(start()), cast.said)
        assert cells.served(web, port), cast.said()
        yield journey


def free_port(host: str = "127.0.0.1") -> int:
    """A free port of ``host`` outside the range of outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((host, port))
            return port


def seen(answer: requests.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name.lower(): text for name, text in answer.headers.items() if name.lower() not in OURS}
    return answer.status_code, answer.content, headers


@pytest.mark.parametrize("size", [3_000_000, 3_000, 0], ids=["3 MB", "3 kB", "empty"])
def test_deferred_response_equals_the_immediate_one(journey, size):
    body = os.urandom(size)
    at_once = journey.call("POST", "/mirror/?a=1", data=body, headers={"Content-Type": "text/plain"})
    later = journey.later("POST", "/mirror/?a=1", data=body)
    assert at_once.content == body
    assert seen(later) == seen(at_once)


def test_validation_error_of_a_view_is_the_result(journey):
    at_once, later = journey.call("POST", "/refuses/"), journey.later("POST", "/refuses/")
    assert (later.status_code, later.json()) == (400, {"name": ["This is no name."]})
    assert seen(later) == seen(at_once)


def test_view_that_raises_fails_the_task(journey):
    status = journey.submit("GET", "/raises/")
    assert journey.call("GET", journey.ended(status)).status_code == 500
    assert journey.monitor(status)["status"] == "Failed"


def test_call_runs_as_its_user_and_is_hidden_from_others(journey):
    tasks = {who: journey.submit("POST", "/mirror/", who) for who in ("anna", "boris")}
    results = {who: journey.ended(status, who) for who, status in tasks.items()}
    assert [journey.call("GET", results[who], who).headers["X-Caller"] for who in tasks] == ["anna", "boris"]
    assert journey.call("GET", results["anna"], "boris").status_code == 404


def test_call_cancelled_before_its_turn_never_runs(journey):
    name = uuid.uuid4().hex
    held = [journey.submit("POST", f"/holds/{name}/") for _ in range(2)]  # as many as run at the same time
    waiting = journey.submit("POST", f"/counts/{name}/")
    assert journey.call("DELETE", waiting).status_code == 204
    journey.call("PUT", f"/marks/{name}/")
    for status in held:
        journey.ended(status)
    journey.later("POST", "/mirror/")  # it would have been the next
    assert journey.monitor(waiting)["status"] == "Canceled"
    assert journey.call("GET", f"/traces/{name}/").json() == []


def test_each_of_many_calls_runs_once(journey):
    name = uuid.uuid4().hex
    with ThreadPoolExecutor(4) as pool:
        for status in list(pool.map(lambda _: journey.submit("POST", f"/counts/{name}/"), range(24))):
            journey.ended(status)
    assert len(journey.call("GET", f"/traces/{name}/").json()) == 24


def test_safe_call_of_a_killed_worker_process_runs_again(journey):
    name = uuid.uuid4().hex
    status = journey.submit("GET", f"/dies/{name}/")
    [pid] = until(lambda: journey.call("GET", f"/traces/{name}/").json(), PATIENCE)
    journey.replace_worker(int(pid))
    journey.later("POST", "/mirror/")  # with Django Tasks, a worker looks for lost runs when it has a task
    assert journey.call("GET", journey.ended(status)).json() == {"survived": name}


@pytest.mark.wired
def test_call_the_broker_never_got_is_accepted_and_runs_once(journey):
    name = uuid.uuid4().hex
    journey.wire.cut()
    try:
        status = journey.submit("POST", f"/counts/{name}/")
        journey.ended(status)
    finally:
        journey.wire.mend()
    journey.later("POST", "/mirror/")
    assert len(journey.call("GET", f"/traces/{name}/").json()) == 1
