"""Wait for a task to finish (``Prefer: wait=N``, RFC 7240 section 4.3), in a thread or in an event loop."""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import suppress

from asgiref.sync import sync_to_async

from ..models import AsyncTask
from . import request_thread
from .notifier import Watch, watching

SHORT = 0.2
"""Seconds for which a waiting request keeps its thread and database connection: many calls end within them."""
SHORT_IN_LOOP = 0.05
"""The same under ASGI, where nothing but the database limits how many calls arrive at once."""


def until_final(task_id: uuid.UUID, seconds: float) -> AsyncTask | None:
    """Return the task as soon as it is final; None after ``seconds``.

    A longer wait closes the thread's database connections: hundreds of waiting requests shall not hold as many.
    """
    finished = threading.Event()
    if (task := _final(task_id)) is not None:  # the executor has run it at once: no notifier is needed
        return task
    with watching(Watch(task_id, finished.set)):
        if (task := _final(task_id)) is not None:
            return task
        if not finished.wait(min(seconds, SHORT)):
            request_thread.close_connections()
            finished.wait(max(0.0, seconds - SHORT))
        return _final(task_id)


async def auntil_final(task_id: uuid.UUID, seconds: float) -> AsyncTask | None:
    """``until_final`` in an event loop: no thread waits, and no database connection is held."""
    loop, finished = asyncio.get_running_loop(), asyncio.Event()
    look = sync_to_async(_final)
    if (task := await look(task_id)) is not None:
        return task
    with watching(Watch(task_id, lambda: loop.call_soon_threadsafe(finished.set))):
        if (task := await look(task_id)) is not None:
            return task
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, SHORT_IN_LOOP)):
                await finished.wait()
        if not finished.is_set():
            await request_thread.release()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds - SHORT_IN_LOOP)):
                await finished.wait()
        return await look(task_id)


def _final(task_id: uuid.UUID) -> AsyncTask | None:
    task: AsyncTask | None = AsyncTask.objects.finished().with_now().filter(pk=task_id).first()
    return task
