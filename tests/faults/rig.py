"""A site with supervised workers, a client that records accepted calls, and the faults that can be caused."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from .. import services
from ..journeys import cells
from ..journeys.test_journeys import free_port
from .verdict import Verdict

RECOVERY = 60
"""Within how many seconds a call is done again after anything was killed."""
WORKER = "django asyncexchange_worker --grace 5"
ASKING = {"Prefer": "respond-async", "Authorization": "Token token-anna"}
ROLES = {"worker": "ready for work at", "monitor": "monitoring at", "pusher": "pushing tasks at"}
READ = "0"
"""The number of the system call read on this kind of machine, as the kernel writes it."""


def until(look: Callable[[], Any], patience: float = RECOVERY) -> Any:
    """The result of ``look`` as soon as it is true. It is called seldom: each is a request, or reads /proc."""
    return services.until(look, patience, pause=0.1)


class Rig:
    def __init__(self, cast: cells.Cast, stack: contextlib.ExitStack, broker: str = "") -> None:
        self.cast, self._stack, self.broker = cast, stack, broker
        self.name = uuid.uuid4().hex
        """What the calls of this test are known by."""
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self.unanswered = 0
        """Calls whose answer did not arrive: they may have been accepted."""
        self.port = free_port()

    # Processes --------------------------------------------------------------------------------------------------------

    def serve(self, **environment: str) -> None:
        """Start the web server."""
        self.web = self._stack.enter_context(self.cast.serve(self.port, **{"BROKER_URL": self.broker, **environment}))
        assert cells.served(self.web, self.port), self.cast.said()

    def unserve(self) -> None:
        self.web.terminate()
        self.web.wait()

    def work(self, words: str = WORKER, *before: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a supervisor; ``pids`` and ``kill`` refer to the last one."""
        running = self.cast.running(words, *before, **{"BROKER_URL": self.broker, **environment})
        self.supervisor = self._stack.enter_context(running)
        return self.supervisor

    def pids(self, role: str) -> list[int]:
        """The living processes of the newest cluster in that role."""
        [head] = children(self.supervisor.pid)[-1:] or [0]
        if role in ("supervisor", "head"):
            return [{"supervisor": self.supervisor.pid, "head": head}[role]]
        [sentinel] = children(head)[-1:] or [0]  # Python 3.14 has given the head one before, which tracks resources
        if role == "sentinel":
            return [sentinel]
        logs = "".join(log.read_text() for log in self.cast.home.glob("django-*.log"))
        known = {int(pid) for pid in re.findall(rf"{ROLES[role]} (\d+)", logs)}
        return sorted(known & set(children(sentinel)))

    def whole(self) -> bool:
        """Whether the cluster has all its processes."""
        return [len(self.pids(role)) for role in ROLES] == [2, 1, 1]

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Kill a process of the cluster; of several, one that reads the queue and so holds its lock."""
        try:
            until(self.whole, RECOVERY)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.cast.said()}") from None
        found = self.pids(role)
        [pid] = [pid for pid in found if reads(pid)][:1] or found[:1]
        os.kill(pid, number)
        return pid

    def is_idle(self) -> bool:
        """Whether a worker waits for a message."""
        return any(reads(pid) for pid in self.pids("worker"))

    def stop(self) -> None:
        """Stop the supervisor gently; running calls finish."""
        self.supervisor.send_signal(signal.SIGTERM)
        assert self.supervisor.wait(RECOVERY) == 0, self.cast.said()

    # Calls ------------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, **headers: str) -> requests.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, headers={**ASKING, **headers}, timeout=30, allow_redirects=False)

    def submit(self, method: str = "POST", seconds: float = 0, view: str = "works", **headers: str) -> str | None:
        """The id of an accepted call; None if it was refused or the server did not answer."""
        try:
            answer = self.call(method, f"/{view}/{self.name}/?seconds={seconds}", **headers)
        except requests.RequestException:
            self.unanswered += 1
            return None
        if answer.status_code != 202:
            self.refused.append(answer.status_code)
            return None
        self.accepted.append(answer.headers["Location"].rstrip("/").rpartition("/")[2])
        return self.accepted[-1]

    @contextlib.contextmanager
    def flood(self, calls: int, seconds: float = 0.02) -> Iterator[None]:
        """Submit so many safe and unsafe calls in turn, during the block."""
        with ThreadPoolExecutor(2) as pool:
            sent = [pool.submit(self.submit, ("GET", "POST")[number % 2], seconds) for number in range(calls)]
            yield
        for each in sent:
            each.result()

    @contextlib.contextmanager
    def stream(self, seconds: float = 0.02, pause: float = 0.1) -> Iterator[None]:
        """Submit safe and unsafe calls in turn, as long as the block lasts."""
        enough = threading.Event()

        def go_on(method: str) -> None:
            while not enough.wait(pause):
                self.submit(method, seconds)

        with ThreadPoolExecutor(2) as pool:
            sent = [pool.submit(go_on, method) for method in ("GET", "POST")]
            try:
                yield
            finally:
                enough.set()
        for each in sent:
            each.result()

    def recovers(self) -> float:
        """The seconds until a new call is done."""
        began = time.monotonic()
        probe = until(lambda: self.submit("GET"), RECOVERY)
        assert until(lambda: self._status(f"/async/tasks/{probe}") == 303, RECOVERY), self.cast.said()
        return time.monotonic() - began

    def _status(self, path: str) -> int:
        with contextlib.suppress(requests.RequestException):
            return self.call("GET", path).status_code
        return 0

    def monitor(self, call: str | None) -> str:
        """The status of a call's operation."""
        return str(self.call("GET", f"/async/operations/{call}").json()["status"])

    def runs(self, call: str | None) -> bool:
        """Whether a call is running."""
        return self.monitor(call) == "Running"

    def traces(self, call: str | None) -> list[int]:
        """The process ids of a call's runs."""
        found = [trace.split() for trace in self.call("GET", f"/traces/{self.name}/").json()]
        return [int(pid) for task, _, pid, _ in found if task == call]

    def is_at_work(self, *pids: int) -> bool:
        """Whether one of the processes takes part in new work."""
        calls = [self.submit("GET", seconds=0.2) for _ in range(3)]
        until(lambda: all(self.monitor(call) == "Succeeded" for call in calls), RECOVERY)
        return any(pid in self.traces(call) for call in calls for pid in pids)

    # The verdict ------------------------------------------------------------------------------------------------------

    def verdict(self, *, may_fail: bool = False, patience: float = 2 * RECOVERY) -> Verdict:
        """The verdict on all accepted calls as soon as each has ended: safe ones are done, others ran once at most.

        ``may_fail``: a view may itself have met the fault, and answered with an error.
        """
        verdict = self.judge(patience)
        mistakes = verdict.mistakes
        if may_fail and len(verdict.safe_not_done) <= verdict.failed == verdict.states.get("ERROR exception", 0):
            mistakes.pop("safe_not_done", None)
        if len(verdict.unexpected) <= self.unanswered + self.refused.count(503):  # a commit whose response was lost
            mistakes.pop("unexpected", None)
        assert mistakes == {}, f"{verdict}\n{self.cast.said()}"
        ended = verdict.done + verdict.ended_lost + (verdict.failed if may_fail else 0)
        assert ended == len(self.accepted) > 0, f"{verdict}\n{self.cast.said()}"
        return verdict

    def judge(self, patience: float = 2 * RECOVERY) -> Verdict:
        """The verdict without assertions."""
        asked = self.ask("tests.faults.verdict", self.name, str(patience), text=json.dumps(self.accepted))
        return Verdict(**json.loads(asked))

    def ask(self, module: str, *words: str, text: str = "") -> str:
        """The output of a script with access to the site's database."""
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            input=text,
            env=self.cast.environment | {"BROKER_URL": self.broker},
            cwd=cells.ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def rigged(home: Path, database: str, broker: str = "", **environment: str) -> Iterator[Rig]:
    """A rig whose database is migrated, and in which nothing runs yet."""
    kind = cells.BROKERS["django-q2 on Redis" if broker else "django-q2 in the database"]
    cast = cells.Cast(home, database, kind, f"faults_{os.urandom(6).hex()}")
    cast.environment |= {"DJANGO_SETTINGS_MODULE": "tests.faults.settings", **environment}
    with contextlib.ExitStack() as stack:
        cast.run("tests.journeys.prepare")
        yield Rig(cast, stack, broker)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def reads(pid: int) -> bool:
    """Whether the main thread of ``pid`` waits in a read."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] == READ
    except OSError:
        return False


def group_of(pid: int) -> list[int]:
    """The processes in the process group of ``pid``, dead or alive."""

    def group(stat: Path) -> int:
        try:
            return int(stat.read_text().rpartition(")")[2].split()[2])
        except OSError:
            return 0

    return [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if group(stat) == pid]
