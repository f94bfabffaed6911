"""The worker of a call is killed while a Python client waits: a safe call is done, an unsafe one has failed."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_asyncexchange.client.exceptions import TaskFailed
from django_asyncexchange.client.values import Options

from ..client.callers import every_client
from .conftest import FEW, on
from .rig import ASKING, RECOVERY, until
from .site import BODY

pytestmark = pytest.mark.service
SECONDS = 2
"""Of a run: long enough to be killed in."""


def runs(rig):
    """The process ids of all runs so far."""
    return [int(trace.split()[2]) for trace in rig.call("GET", f"/traces/{rig.name}/").json()]


def called(rig, call, method):
    """The answer to a call whose worker is killed during the first run."""
    until(rig.whole)
    url = f"http://127.0.0.1:{rig.port}/works/{rig.name}/?seconds={SECONDS}"
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(call, method, url, {"Authorization": ASKING["Authorization"]}, Options())
        [pid] = until(lambda: runs(rig), RECOVERY)
        os.kill(pid, signal.SIGKILL)
        return calling.result()


@on(*FEW[:1])
@every_client
def test_safe_call_of_a_killed_worker_is_done_by_the_next(rig, call):
    status, _, body = called(rig, call, "GET")
    assert (status, body, len(runs(rig))) == (200, BODY, 2)


@on(*FEW[:1])
@every_client
def test_unsafe_call_of_a_killed_worker_has_failed_and_is_not_repeated(rig, call):
    with pytest.raises(TaskFailed) as raised:
        called(rig, call, "POST")
    assert (raised.value.status, raised.value.code, len(runs(rig))) == (500, "failed", 1)
