"""An account with thousands of waiting calls does not hold up the others. Counted from the starts of all calls."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest
import requests

from ..journeys import cells
from ..journeys.test_journeys import free_port
from .conftest import FORM
from .rig import RECOVERY, until

pytestmark = pytest.mark.service

WAITING = 10_000
SHARE = 2
"""As in the settings of the journeys."""
WORKERS = 2


@pytest.fixture(params=cells.ALL if FORM == "all" else cells.FEW, ids=" and ".join)
def site(request, databases, tmp_path):
    """(its processes, its port, the command of its workers); no worker runs yet."""
    broker = cells.BROKERS[request.param[0]]
    server = cells.address(broker.server) if broker.server else ""
    name = f"fairness_{os.urandom(6).hex()}"
    cast, port = cells.Cast(tmp_path, databases(request.param[1]), broker, name), free_port()
    cast.environment["BROKER_URL"] = server
    cast.run("tests.journeys.prepare")
    with contextlib.ExitStack() as stack:
        if server:
            stack.callback(cells.clear, server, name)
        assert cells.served(stack.enter_context(cast.serve(port)), port), cast.said()
        yield cast, port, broker.worker


def test_first_call_of_an_account_starts_before_the_waiting_ones_of_another(site):
    cast, port, worker = site

    def call(who, method, path):
        headers = {"Prefer": "respond-async", "Authorization": f"Token token-{who}"}
        url = f"http://127.0.0.1:{port}{path}"
        return requests.request(method, url, headers=headers, timeout=30, allow_redirects=False)

    def submit(who):
        answer = call(who, "POST", f"/counts/{who}/")
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].partition(f":{port}")[2] or answer.headers["Location"]

    def crowd(*words):
        script = [sys.executable, "-m", "tests.faults.crowd", *words]
        return subprocess.run(script, env=cast.environment, cwd=cells.ROOT, stdout=subprocess.PIPE, check=True).stdout

    first = [submit("anna") for _ in range(SHARE + 1)]
    crowd(str(WAITING))
    with cast.running(worker):
        until(lambda: all(call("anna", "GET", task).status_code == 303 for task in first[:SHARE]), RECOVERY)
        for _ in range(10):
            task = submit("boris")
            until(lambda task=task: call("boris", "GET", task).status_code == 303, RECOVERY)
    before = json.loads(crowd())
    assert len(before) == 10
    assert max(before) <= SHARE + WORKERS, before
    assert SHARE < len(call("anna", "GET", "/traces/anna/").json()) < WAITING
