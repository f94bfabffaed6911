"""Defers each request of Django's test clients: stored, run and replayed, within this process.

The suite knows nothing of it. Our app and its middleware are added to what the suite has configured, and its clients
prefer ``respond-async``. Requests of the asynchronous client come by ASGI, and run so. For pytest this is a plugin;
``django_suite`` calls ``install``.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import recording
from django.apps import apps
from django.apps.registry import Apps
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.test.client import AsyncClientHandler, ClientHandler
from django.test.testcases import SimpleTestCase
from django.utils import translation

APP = "django_asyncexchange"
MIDDLEWARE = "replaying.Replaying"
CONFIGURED = {
    "VIEWS": ["/*"],
    "ALLOW_ANONYMOUS": True,
    "EXECUTOR": "django_asyncexchange.executors.inline.Inline",
    "INLINE_BYTES": 2**30,  # in the database, whatever storages the suite has
}
ABSENT = ("asyncexchange.E001", "asyncexchange.E008", "asyncexchange.W001")
"""What our checks miss: the middleware in the list itself, the addresses, which nobody asks here, and a storage."""
people: list[str] = []
"""The user model of the suite. A test that has another one would need other tables of ours."""


def install() -> None:
    """Defer from now on."""
    for cls, name in ((Apps, "populate"), (Apps, "set_available_apps"), (BaseHandler, "load_middleware")):
        wrap(cls, name, globals()[name])
    wrap(ClientHandler, "__call__", called)
    wrap(AsyncClientHandler, "__call__", acalled)
    wrap(SimpleTestCase, "run", run)
    SimpleTestCase.databases = {"default"}  # our tables, even where the suite's test has none


def wrap(cls: Any, name: str, around: Any) -> None:
    method = getattr(cls, name)

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(functools.partial(method, self), self, *args, **kwargs)

    setattr(cls, name, wrapper)


def run(proceed: Any, case: SimpleTestCase, result: Any = None) -> Any:
    """Keep the language of a test that now fails halfway out of the next test."""
    language = translation.get_language()
    try:
        return proceed(result)
    finally:
        translation.activate(language) if language else translation.deactivate_all()


# Our app among the suite's --------------------------------------------------------------------------------------------


def populate(proceed: Any, registry: Apps, installed_apps: Iterable[str] = ()) -> None:
    listed = [*installed_apps]
    if registry is apps and not registry.ready and has_users(listed):
        settings.ASYNC_EXCHANGE = CONFIGURED
        settings.SILENCED_SYSTEM_CHECKS = [*settings.SILENCED_SYSTEM_CHECKS, *ABSENT]
        people[:] = people or [settings.AUTH_USER_MODEL]
        listed.append(APP)
    proceed(listed)


def has_users(listed: Iterable[Any]) -> bool:
    """Whether the suite has the apps that our tables need."""
    return any(str(app).startswith("django.contrib.auth") for app in listed)


def set_available_apps(proceed: Any, registry: Apps, available: Iterable[str]) -> None:
    proceed([*available, APP] if has_users(available) else available)


def load_middleware(proceed: Any, handler: BaseHandler, is_async: bool = False) -> None:
    listed = settings.MIDDLEWARE
    settings.MIDDLEWARE = [*listed, MIDDLEWARE]
    try:
        proceed(is_async)
    finally:
        settings.MIDDLEWARE = listed


# The client -----------------------------------------------------------------------------------------------------------


def called(proceed: Any, handler: ClientHandler, environ: dict[str, Any]) -> Any:
    if is_possible():
        environ.setdefault("HTTP_PREFER", "respond-async")
    response, run = counted(proceed(environ))
    return response if run is None else dressed(response, run)


async def acalled(proceed: Any, handler: AsyncClientHandler, scope: dict[str, Any]) -> Any:
    if is_possible() and b"prefer" not in dict(scope["headers"]):
        scope["headers"] = [*scope["headers"], (b"prefer", b"respond-async")]
    response, run = counted(await proceed(scope))
    if run is not None:
        response.asgi_request = run.request
        dressed(response, run)
        if getattr(run.response, "is_async", False):
            response.is_async, response.streaming_content = True, one(response.content)
    return response


async def one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


def is_possible() -> bool:
    return people == [settings.AUTH_USER_MODEL] and apps.is_installed(APP)


def counted(response: Any) -> tuple[Any, Any]:
    """The response, and the run that made it, if any."""
    run = response.__dict__.pop("_run", None)
    recording.figures["at once" if run is None else "deferred"] += 1
    return response, run


def dressed(response: Any, run: Any) -> Any:
    """``response``, which a server has sent by now, with what only a test sees of the run: DRF's ``data``, say."""
    response.is_stored_answer = response.headers.is_frozen = False
    for name, value in vars(run.response).items():
        response.__dict__.setdefault(name, value)
    response.wsgi_request = run.request
    if run.response.streaming:
        response.streaming, response.streaming_content = True, iter([response.content])
    return response


# pytest ---------------------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    install()


@pytest.fixture(scope="session", autouse=True)
def tables_of_ours(django_db_setup: None, django_db_blocker: Any) -> Any:
    """Available and unblocked, also for a test that asked for no database."""
    with django_db_blocker.unblock():
        yield
