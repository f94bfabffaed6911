"""One call, answered immediately and deferred."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connections
from django.test import Client

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.worker import runner

OURS = frozenset({"asyncresult", "sunset", "accept-ranges", "etag", "last-modified", "cache-control", "content-length"})
"""Headers that the result's address has of its own."""
RUNS_VARY_NOT = frozenset({"prefer", "cookie"})
"""Our own, and what a run has none of."""


@dataclasses.dataclass
class Twice:
    """The responses to a call: the immediate one, its 202, a poll before and one after the run, and the result."""

    at_once: Any
    accepted: Any
    waiting: Any
    polled: Any
    later: Any
    task: AsyncTask

    @property
    def is_equal(self) -> bool:
        assert (self.waiting.status_code, self.polled.status_code) == (202, 303)
        assert self.seen(self.later) == self.seen(self.at_once)
        return True

    def seen(self, response: Any) -> tuple[int, str, dict[str, Any], bytes]:
        headers = {name.lower(): text for name, text in response.items() if name.lower() not in OURS}
        headers["vary"] = sorted({name.strip().lower() for name in headers.get("vary", "").split(",")} - RUNS_VARY_NOT)
        return response.status_code, response.reason_phrase, headers, content(response)


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def twice(client: Client, path: str, data: Any = None, *, method: str = "", **headers: str) -> Twice:
    """Call ``path``, with a form if there is ``data``: immediately, then deferred, run by a thread as by a worker."""
    at_once = call(client, path, data, method, headers)
    accepted = call(client, path, data, method, {**headers, "Prefer": "respond-async"})
    assert accepted.status_code == 202, (accepted.status_code, accepted.content[:500])
    address = accepted["Location"]
    waiting = client.get(address, headers=headers)
    perform(key_of(address))
    polled = client.get(address, headers=headers)
    later = client.get(polled["Location"], headers=headers) if polled.status_code == 303 else polled
    return Twice(at_once, accepted, waiting, polled, later, AsyncTask.objects.get(pk=key_of(address)))


def call(client: Client, path: str, data: Any, method: str, headers: dict[str, str]) -> Any:
    ask = getattr(client, method.lower() or ("get" if data is None else "post"))
    form = {} if method not in ("put", "patch") else {"content_type": "application/json"}
    return ask(path, data, headers=headers, **form)


def key_of(address: str) -> uuid.UUID:
    return uuid.UUID(address.rpartition("/")[2])


def perform(key: uuid.UUID) -> None:
    """Run a task in a thread of its own, as a worker does: nothing of the original request is available."""

    def run() -> None:
        runner.run(str(key))
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    """As in a deployment: the manifest has to name each file that a page uses."""
    call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture
def anna(transactional_db: None) -> User:
    User.objects.get_or_create(username="AnonymousUser")  # guardian's own user, which it creates after migrate
    user = User.objects.create_user("anna", "anna@example.com", "secret")
    user.user_permissions.add(Permission.objects.get(codename="view_note"))
    return user


@pytest.fixture
def otto(transactional_db: None) -> User:
    return User.objects.create_superuser("otto", "otto@example.com", "secret")


@pytest.fixture
def client(anna: User) -> Client:
    """Anna, logged in."""
    client = Client()
    client.force_login(anna, "django.contrib.auth.backends.ModelBackend")
    return client
