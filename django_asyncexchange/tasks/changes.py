"""Wait until a task changes, in a thread or in an event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from asgiref.sync import sync_to_async

from ..models import AsyncTask
from ..store import transitions
from . import lifecycle, request_thread
from .notifier import Watch, version_of, watching


def until_changed(task: AsyncTask, seconds: float) -> AsyncTask | None:
    """Return ``task`` anew as soon as it differs, or after ``seconds``; None if it is deleted.

    The thread's database connections are closed while it waits. Raises the database's errors.
    """
    changed = threading.Event()
    was_seen = request_thread.close_connections()
    with watching(Watch(task.pk, changed.set, version_of(task), was_seen=was_seen)):
        changed.wait(seconds)
    return _current(task)


async def auntil_changed(task: AsyncTask, seconds: float) -> AsyncTask | None:
    """``until_changed`` in an event loop, which is not blocked. No thread waits."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    was_seen = await request_thread.release()
    watch = Watch(task.pk, lambda: loop.call_soon_threadsafe(changed.set), version_of(task), was_seen=was_seen)
    with watching(watch), suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
    return await sync_to_async(_current)(task)


def _current(task: AsyncTask) -> AsyncTask | None:
    found = transitions.read(task.pk, task.dialect)
    if found is not None and lifecycle.end_if_overdue(found):
        return transitions.read(task.pk, task.dialect)
    return found
