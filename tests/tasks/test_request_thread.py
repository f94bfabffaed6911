"""What the thread of a waiting ASGI request holds."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections

from django_asyncexchange.tasks import request_thread

pytestmark = pytest.mark.django_db(transaction=True)


class Thread:
    """The thread of a request that has asked the database."""

    def __init__(self):
        User.objects.exists()
        self.thread, self.connection = threading.current_thread(), connections[connection.alias]


def before_and_after_release(context):
    """The thread that a request in ``context`` has before its release, and the one that it has afterwards."""

    async def play():
        async with context:
            first = await sync_to_async(Thread)()
            await request_thread.release()
            second = await sync_to_async(Thread)()
            await sync_to_async(connections.close_all)()
            return first, second

    return asyncio.run(play())


def test_thread_ends_and_synchronous_code_gets_a_new_one():
    first, second = before_and_after_release(ThreadSensitiveContext())
    first.thread.join()
    assert first.thread is not second.thread


def test_connection_of_the_thread_is_closed():
    first, _ = before_and_after_release(ThreadSensitiveContext())
    assert first.connection.connection is None


def test_thread_of_a_foreign_database_backend_stays(monkeypatch):
    """It may know the tenant."""
    monkeypatch.setattr(request_thread, "STOCK", "django_tenants.")
    first, second = before_and_after_release(ThreadSensitiveContext())
    assert first.thread is second.thread


@pytest.mark.skipif(
    "executor" not in inspect.signature(ThreadSensitiveContext).parameters, reason="this asgiref takes none"
)
def test_thread_that_the_server_has_given_stays():
    with ThreadPoolExecutor(1) as executor:
        first, second = before_and_after_release(ThreadSensitiveContext(executor=executor))
    assert first.thread is second.thread
