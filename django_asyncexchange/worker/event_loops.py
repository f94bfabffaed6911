"""The event loop of a thread that runs calls, which lives as long as the thread does.

Projects keep clients, pools and locks of asyncio in their modules, and those belong to the loop in which they were
first used. A server has one for all of its calls, and so has a worker.
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
Tenants = list[Callable[[], object]]

ENDS_WITHIN = 1.0
"""For how many seconds whoever leaves waits for the thread of the loop."""


class EventLoop:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.tenants: Tenants = []
        """Whom to tell that a task has raised what ends an event loop (SystemExit): nobody between two runs."""
        is_over = threading.Event()
        args = self.loop, is_over, self.tenants
        thread = threading.Thread(target=_live, args=args, name="asyncexchange-loop", daemon=True)
        weakref.finalize(self, _end, self.loop, is_over, thread, self.pid)
        thread.start()

    def tell(self, what: Callable[..., object], *args: Any) -> None:
        """Call it there, in an empty context."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(what, *args, context=Context())


_of_this_thread = threading.local()


def mine() -> EventLoop:
    """This thread's; another one where a run of this thread is within a run."""
    known: EventLoop | None = getattr(_of_this_thread, "loop", None)
    if known is None or known.pid != os.getpid():  # a fork leaves the other thread behind
        known = _of_this_thread.loop = EventLoop()
    return EventLoop() if known.tenants else known


def _live(loop: asyncio.AbstractEventLoop, is_over: threading.Event, tenants: Tenants) -> None:
    asyncio.set_event_loop(loop)
    while not is_over.is_set():
        try:
            loop.run_forever()  # a view may have stopped it, which is nothing to us
        except BaseException:
            for tell in tenants:
                tell()
    loop.close()


def _end(loop: asyncio.AbstractEventLoop, is_over: threading.Event, thread: threading.Thread, pid: int) -> None:
    if pid == os.getpid():
        is_over.set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(ENDS_WITHIN)


class Generators:
    """The asynchronous generators that are begun inside this context, in the loop's thread; closed with it.

    One that nobody reads any more is closed at once, in a task: that may take queries.
    """

    def __init__(self, events: EventLoop) -> None:
        self._events = events
        self._begun: weakref.WeakSet[Generator] = weakref.WeakSet()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> None:
        self._before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._begun.add, finalizer=partial(self._events.tell, self._close))

    async def __aexit__(self, *_: object) -> None:
        for generator in self._begun:
            self._close(generator)
        if self._closing:
            await asyncio.wait(self._closing)
        sys.set_asyncgen_hooks(*self._before)

    def _close(self, generator: Generator) -> None:
        self._closing.add(self._events.loop.create_task(generator.aclose()))
