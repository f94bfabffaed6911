"""A cluster as its supervisor sees it: real processes that behave like a cluster."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings

from django_asyncexchange.executors.django_q import clusters, supervisor_pipe
from django_asyncexchange.executors.django_q.clusters import Cluster

from ...services import exchange, until

PROGRAM = """#!{python}
import os, signal, subprocess, sys, time
environment = {{key: os.environ.get(key, "") for key in ("Q_CLUSTER_NAME", "PYTHONPATH")}}
open("{home}/environment", "w").write(repr(environment))
open("{home}/words", "w").write(" ".join(sys.argv[1:]))
supervisor, status = map(int, os.environ["{variable}"].split(","))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("{home}/child", "w").write(str(child.pid))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
for word in {words!r}:
    os.write(status, word.encode())
if {lasts}:
    time.sleep(60)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a cluster that writes ``words`` to its pipe, and then stays or exits; it is ended with the test."""
    started = []

    def start(words="", lasts=True, queue="tests"):
        program = tmp_path / "python"
        values = {"python": sys.executable, "home": tmp_path, "variable": supervisor_pipe.VARIABLE, "words": words}
        program.write_text(PROGRAM.format(lasts=lasts, **values))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        with monkeypatch.context() as patch:
            patch.setattr(clusters.sys, "executable", str(program))
            started.append(Cluster(queue))
        return started[-1]

    yield start
    for one in started:
        if one._head.returncode is None:
            one.kill()


@pytest.fixture
def child(tmp_path):
    """The process id of the cluster head's child, as soon as there is one."""
    return lambda: int(until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text()))


def is_alive(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


def status_of(cluster):
    cluster.read_status()
    return cluster.is_well, cluster.is_stalled, cluster.is_drained


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (".", (True, False, False)),
        (".?", (False, False, False)),
        ("...", (True, False, False)),
        (".!", (False, True, False)),
        (".!-", (False, True, True)),
    ],
)
def test_last_word_of_the_cluster_is_its_status(start, words, seen):
    cluster = start(words)
    assert status_of(cluster) == (False, False, False) or status_of(cluster) == seen
    until(lambda: status_of(cluster) == seen)


def test_cluster_that_reports_nothing_for_long_is_silent(start, monkeypatch):
    cluster = start(".")
    until(lambda: status_of(cluster)[0])
    assert not cluster.is_silent
    monkeypatch.setattr(clusters, "MAX_SILENCE", 0)
    assert cluster.is_silent
    cluster.kill()


def test_its_head_is_dead_when_it_has_left_and_keeps_its_number(start):
    cluster = start(lasts=False)
    until(lambda: cluster.is_dead)
    assert cluster.is_dead
    assert Path(f"/proc/{cluster._head.pid}").exists()
    cluster.kill()
    assert not Path(f"/proc/{cluster._head.pid}").exists()


def test_stop_signals_the_head_only(start, child):
    cluster = start()
    pid = child()
    until(lambda: (Path(f"/proc/{cluster._head.pid}/status").read_text().split("SigCgt:")[1].split()[0])[-4] != "0")
    cluster.stop()
    until(lambda: cluster.is_dead)
    assert is_alive(pid)


def test_end_leaves_no_process(start, child):
    cluster = start()
    pid = child()
    assert os.getpgid(pid) == cluster._head.pid
    cluster.kill()
    until(lambda: not is_alive(pid))


def test_end_leaves_no_process_after_the_head_was_killed(start, child):
    cluster = start()
    pid = child()
    os.kill(cluster._head.pid, signal.SIGKILL)
    until(lambda: cluster.is_dead)
    assert is_alive(pid)
    cluster.kill()
    until(lambda: not is_alive(pid))


def test_qcluster_starts_with_the_projects_python_path(start, child, tmp_path):
    start()
    child()
    assert (tmp_path / "words").read_text() == "-P -m django qcluster"
    assert str(Path(__file__).parents[3]) in (tmp_path / "environment").read_text()


@pytest.mark.parametrize(("queue", "name"), [("tests", ""), ("letters", "letters")])
def test_cluster_name_is_passed_for_other_queues_only(start, child, tmp_path, queue, name, monkeypatch):
    monkeypatch.setenv("Q_CLUSTER_NAME", "something else")
    start(queue=queue)
    child()
    assert f"'Q_CLUSTER_NAME': {name!r}" in (tmp_path / "environment").read_text()


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "name"),
    [({}, "default"), (None, "default"), ({"name": "ours"}, "ours"), ({"name": "ours", "cluster_name": "one"}, "one")],
)
def test_default_queue_is_the_one_that_django_q2_sends_to(cluster, name):
    with override_settings(Q_CLUSTER=cluster):
        assert clusters.default() == name


@pytest.mark.parametrize(
    ("queues", "names"),
    [
        ({}, ["tests"]),
        ({"run": "calls"}, ["calls", "tests"]),
        ({"deliver": "letters"}, ["tests", "letters"]),
        ({"run": "calls", "deliver": "letters"}, ["calls", "letters"]),
        ({"run": "one", "deliver": "one"}, ["one"]),
    ],
)
def test_there_is_a_cluster_for_each_configured_queue(queues, names, monkeypatch):
    monkeypatch.delenv("Q_CLUSTER_NAME", raising=False)
    with override_settings(ASYNC_EXCHANGE=exchange(QUEUES=queues)):
        assert clusters.queues() == names


def test_q_cluster_name_selects_the_queue(monkeypatch):
    monkeypatch.setenv("Q_CLUSTER_NAME", "mail")
    assert clusters.queues() == ["mail"]


# The first process of a container ------------------------------------------------------------------------------------

ORPHANS = """
import os, subprocess, sys, time
from django_asyncexchange.executors.django_q import clusters
head = subprocess.Popen([sys.executable, "-c", "pass"], start_new_session=True)
os.waitid(os.P_PID, head.pid, os.WEXITED | os.WNOWAIT)
orphan = os.fork() or os._exit(0)
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
clusters.reap()
print(os.path.exists(f"/proc/{head.pid}"), end=" ")
head.wait()
clusters.reap()
print(os.path.exists(f"/proc/{orphan}"))
"""


def test_orphans_are_reaped_and_cluster_heads_are_not():
    """The kernel gives orphans to the first process of a container; a head is reaped by the process that started it."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    seen = subprocess.run(
        [sys.executable, "-c", ORPHANS],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert seen.stdout.strip() == "True False"
