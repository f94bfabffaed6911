"""A slow view behind nginx, whose clients give up: with patience all of them get its response without a change.

The servers are started as docs/howto/patience.rst shows.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import requests

from ..howto.programs import nginx, program
from ..newcomer import free_port
from ..services import until
from . import cells

pytestmark = [pytest.mark.full, pytest.mark.service, pytest.mark.slow, pytest.mark.xdist_group("journeys")]

TIMEOUT = 2
"""Seconds after which nginx gives up."""
SLOW = 5
"""Seconds that the view takes."""
SERVERS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:{port} --threads 200 tests.journeys.wsgi",
    "uvicorn": "uvicorn --port {port} --log-level warning django.core.asgi:get_asgi_application --factory",
}
ANSWER = {"slept": SLOW}


class Site:
    """A web server behind nginx."""

    def __init__(self, cast: cells.Cast, command: str) -> None:
        self.cast, self.port, self.public = cast, free_port(), free_port()
        self.command = command.format(port=self.port)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.public}{path}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.cast.running(self.command) as server:
            assert cells.served(server, self.port), self.cast.said()
            until(lambda: "X-Task" in self.call("GET", "/sleeps/0/").headers, cells.PATIENCE)  # there is a worker
            yield server

    def call(self, method: str, path: str, **headers: str) -> requests.Response:
        """A call of anna's, past nginx."""
        headers["Authorization"] = "Token token-anna"
        return requests.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=cells.PATIENCE)


@pytest.fixture(scope="module", params=SERVERS)
def workers(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Site]]:
    """A function that returns a site with a worker, whose web server is to be started."""
    home = tmp_path_factory.mktemp("patience")
    broker, name = cells.BROKERS["django-q2 in the database"], f"asyncexchange_patience_{uuid.uuid4().hex[:12]}"
    with cells.postgresql(name, postgres_url) as database:
        cast = cells.Cast(home, database, broker, name)
        cast.environment |= {"JOURNEY_ANONYMOUS": "yes", "JOURNEY_URLS": "tests.journeys.slow_site"}
        cast.run("tests.journeys.prepare")
        with cast.running(broker.worker):
            yield lambda: Site(cast, SERVERS[request.param])


@pytest.fixture(scope="module")
def site(workers: Callable[[], Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = workers()
    rules = f"proxy_pass http://127.0.0.1:{site.port}; proxy_set_header Host $http_host; proxy_read_timeout"
    server = f"location / {{ {rules} {TIMEOUT}s; }} location ~ /events$ {{ {rules} {cells.PATIENCE}s; }}"
    with site.serving(), nginx(tmp_path_factory.mktemp("nginx"), site.public, server):
        yield site


def test_without_patience_the_proxy_gives_up(site):
    assert requests.get(site.url(f"/oversleeps/{SLOW}/")).status_code == 504


@pytest.mark.parametrize("words", [["curl", "-sSL"], ["wget", "-qO-"]], ids=["curl", "wget"])
def test_command_gets_the_response(site, words):
    done = subprocess.run([program(words[0]), *words[1:], site.url(f"/sleeps/{SLOW}/")], capture_output=True)
    assert done.stdout == b'{"slept":%d}' % SLOW, done.stderr


def test_requests_gets_the_response(site):
    assert requests.get(site.url(f"/sleeps/{SLOW}/")).json() == ANSWER


def test_httpx_gets_the_response(site):
    assert httpx.get(site.url(f"/sleeps/{SLOW}/"), follow_redirects=True, timeout=60).json() == ANSWER


def test_quick_call_is_not_redirected(site):
    response = requests.get(site.url("/sleeps/0/"))
    assert (response.json(), response.history) == ({"slept": 0}, [])


def test_browser_gets_the_response(site, tmp_path):
    """Its page reloads itself, and leads to the response."""
    assert f'{{"slept":{SLOW}}}' in shown(site.url(f"/sleeps/{SLOW}/?format=json"), tmp_path)


@pytest.mark.parametrize("seconds", [0, SLOW])
def test_browser_submits_a_form_and_reads_the_message(site, tmp_path, seconds):
    """A new one: the page of the form, which may be slow, brings its CSRF cookie."""
    assert "Signed by Anna in a task" in shown(f"http://127.0.0.1:{site.port}/signs/{seconds}/", tmp_path)


def shown(url: str, home: Path) -> str:
    """The page that a new browser shows in the end."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={home}"]
    settled = ["--virtual-time-budget=60000", "--dump-dom", url]
    done = subprocess.run([program("chromium"), *options, *settled], capture_output=True, timeout=2 * cells.PATIENCE)
    return done.stdout.decode()


def test_post_is_told_where_to_wait(site):
    response = requests.post(site.url(f"/sleeps/{SLOW}/"))
    assert response.status_code == 202
    assert requests.get(response.headers["Location"] + "?wait=1").json() == ANSWER


def test_events_pass_nginx_one_by_one(site):
    """The first one while the call still runs. A WSGI server has no streams, and names the address of the long poll."""
    name, anna = uuid.uuid4().hex[:12], {"Authorization": "Token token-anna"}
    later = {**anna, "Prefer": "respond-async"}
    status = requests.post(site.url(f"/holds/{name}/"), headers=later).headers["Location"]
    with requests.get(f"{status}/events", headers=anna, stream=True) as response:
        if "gunicorn" in site.command:
            assert response.links["alternate"]["url"] == status
            site.call("PUT", f"/marks/{name}/")  # otherwise the run occupies a worker for other tests
            return
        lines = response.iter_lines()
        assert b"event: state" in lines
        site.call("PUT", f"/marks/{name}/")
        assert b"event: end" in lines


def test_killed_web_server_loses_nothing(workers):
    """The client repeats its call under the same key, and gets the response of the only run."""
    behind, name = workers(), uuid.uuid4().hex[:12]

    def post() -> requests.Response:
        return behind.call("POST", f"/keeps/{name}/", **{"Idempotency-Key": name})

    def traces() -> list[str]:
        return behind.call("GET", f"/traces/{name}/").json()

    with ThreadPoolExecutor(1) as pool:
        with behind.serving() as server:
            waiting = pool.submit(post)
            until(traces, cells.PATIENCE)
            os.killpg(server.pid, signal.SIGKILL)
        with pytest.raises(requests.ConnectionError):
            waiting.result()
    with behind.serving():
        assert behind.call("PUT", f"/marks/{name}/").status_code == 204
        assert post().json() == {"held": name}
        assert len(traces()) == 1
