"""The event loop of a thread that runs calls. It lives as long as the thread.

Projects keep clients, pools and locks of asyncio in modules, and those belong to the loop in which they were first
used. A server has one loop for all calls, and so has a worker.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any

Generator = AsyncGenerator[Any, None]
Callbacks = list[Callable[[], object]]

JOIN_SECONDS = 1.0
"""Seconds to wait for the loop's thread at its end."""


class EventLoop:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.on_exit: Callbacks = []
        """Called when a task raises what ends an event loop (SystemExit). Empty between two runs."""
        is_over = threading.Event()
        args = self.loop, is_over, self.on_exit
        thread = threading.Thread(target=_run, args=args, name="asyncexchange-loop", daemon=True)
        weakref.finalize(self, _end, self.loop, is_over, thread, self.pid)
        thread.start()

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback`` in the loop's thread, in an empty context."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(callback, *args, context=Context())


_local = threading.local()


def of_this_thread() -> EventLoop:
    """The event loop of this thread; a new one for a run within a run of this thread."""
    known: EventLoop | None = getattr(_local, "loop", None)
    if known is None or known.pid != os.getpid():  # a fork does not inherit the loop's thread
        known = _local.loop = EventLoop()
    return EventLoop() if known.on_exit else known


def _run(loop: asyncio.AbstractEventLoop, is_over: threading.Event, on_exit: Callbacks) -> None:
    asyncio.set_event_loop(loop)
    while not is_over.is_set():
        try:
            loop.run_forever()  # again, if a view has stopped it
        except BaseException:
            for callback in on_exit:
                callback()
    loop.close()


def _end(loop: asyncio.AbstractEventLoop, is_over: threading.Event, thread: threading.Thread, pid: int) -> None:
    if pid == os.getpid():
        is_over.set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(JOIN_SECONDS)


class Generators:
    """Closes the asynchronous generators that are started inside this context, in the loop's thread.

    One that is garbage-collected is closed at once, in a task: it may execute queries.
    """

    def __init__(self, events: EventLoop) -> None:
        self._events = events
        self._started: weakref.WeakSet[Generator] = weakref.WeakSet()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> None:
        self._before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._started.add, finalizer=partial(self._events.call_soon, self._close))

    async def __aexit__(self, *_: object) -> None:
        for generator in self._started:
            self._close(generator)
        if self._closing:
            await asyncio.wait(self._closing)
        sys.set_asyncgen_hooks(*self._before)

    def _close(self, generator: Generator) -> None:
        self._closing.add(self._events.loop.create_task(generator.aclose()))
