"""Two hosts with workers, on Redis, PostgreSQL and S3. One loses its network during its runs, and comes back."""

from __future__ import annotations

import threading
import time

import boto3
import pytest
import requests

from ..journeys.test_journeys import free_port
from . import servers
from .conftest import long_or_short
from .network import network
from .rig import RECOVERY, WORKER, rigged, until

pytestmark = pytest.mark.service

KEYS = {"aws_access_key_id": "anybody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
LEASE = 6
"""Seconds."""
AWAY = long_or_short([2, 12, 45], [12])
"""For how many seconds a host is cut off: less than a lease, more, and more than a client waits."""


@pytest.fixture
def net():
    with network() as net:
        yield net


@pytest.fixture
def rig(net, tmp_path):
    with servers.postgres(net.address) as database, servers.redis_server(net.address) as broker:
        port = free_port(net.address)
        bucket = f"http://{net.address}:{port}"
        environment = {"FAULT_S3": bucket, "JOURNEY_LEASE": str(LEASE), "FAULT_SHARE": "8"}
        with (
            rigged(tmp_path, database.url, broker.url, **environment) as rig,
            rig.cast.running(f"moto.server -H {net.address} -p {port}"),
        ):
            until(lambda: answers(bucket), RECOVERY)
            client = boto3.client("s3", endpoint_url=bucket, **KEYS)
            client.create_bucket(Bucket="results")
            client.close()
            rig.serve()
            yield rig


def answers(url):
    try:
        return requests.get(url, timeout=3).status_code
    except requests.RequestException:
        return 0


def hosts_of(rig):
    """The hosts whose workers have run something."""
    return {trace.split()[3] for trace in rig.call("GET", f"/traces/{rig.name}/").json()}


def test_host_cut_off_for_a_while_costs_no_call(rig, net, report):
    far, near = net.host("a"), net.host("b")
    rig.work(WORKER, *far)
    until(rig.whole, RECOVERY)
    rig.work(WORKER, *near)
    until(rig.whole, RECOVERY)
    took = []
    with rig.stream(seconds=0.5, pause=0.6):  # the capacity of one host
        for seconds in AWAY:
            until(lambda: hosts_of(rig) == {"a", "b"}, RECOVERY)
            time.sleep(2)  # of traffic
            net.cut("a")
            began = time.monotonic()
            took.append(rig.recovers())
            threading.Event().wait(max(0, seconds - (time.monotonic() - began)))
            net.mend("a")
            took.append(rig.recovers())
    report("a host of two cut off", rig.verdict(), times=len(AWAY), slowest=max(took))


def test_host_cut_off_for_good_costs_no_call(rig, net, report):
    far, near = net.host("a"), net.host("b")
    rig.work(WORKER, *far)
    until(rig.whole, RECOVERY)
    with rig.flood(40, seconds=0.5):
        until(lambda: hosts_of(rig) == {"a"}, RECOVERY)
        net.cut("a")
        rig.work(WORKER, *near)
        took = rig.recovers()
    verdict = rig.verdict()
    assert hosts_of(rig) == {"a", "b"}
    report("a host of two gone", verdict, recovered=took)
