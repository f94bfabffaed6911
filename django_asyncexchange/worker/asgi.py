"""Runs a call that came by ASGI: Django's asynchronous handler in an event loop, of which all is gone with the run.

The loop has a thread of its own (``event_loops``). What is synchronous (middlewares, views, queries: whatever
``sync_to_async`` sends to "the" thread) is done by the thread of the run, which waits for the loop meanwhile. So it
meets the connections that are watched over, cancelled and put right after a run, and can be interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections

from . import event_loops, handlers
from .watched_run import WatchedRun

logger = logging.getLogger("django_asyncexchange")

P = ParamSpec("P")
T = TypeVar("T")
Order = tuple[Future[Any], Callable[[], Awaitable[Any]]]

PORTION = 64 * 1024
"""Bytes of an asynchronous stream that are taken at a time."""
MOMENT = 0.2
"""What has come of a slow one is taken after so many seconds."""
RESERVE = 0.1
"""The share of the run limit that tasks of a view, which go on after its answer, have to leave."""


class Threads(ThreadPoolExecutor):
    """What ``asyncio.to_thread`` has of a view's work done. A thread keeps no connection: nobody would close it."""

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return super().submit(_alone, work, *args, **kwargs)


def _alone(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    try:
        return work(*args, **kwargs)
    finally:
        connections.close_all()


class Loop(Executor):
    """One run in the event loop of its thread, and an executor whose thread is that of the run."""

    def __init__(self, run: WatchedRun, surroundings: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._run, self._surroundings = run, surroundings
        self._events = event_loops.mine()
        self._loop = self._events.loop
        self._orders: asyncio.Queue[Order | None] = asyncio.Queue()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over: Future[None] = Future()
        self._over.add_done_callback(self._wake)
        self._context = ThreadSensitiveContext()
        self._earlier: set[asyncio.Task[Any]] = set()
        self._is_abandoned = False

    # In the thread of the run -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._outside = dict(vars(SyncToAsync.threadlocal))
        self._events.tenants.append(self._abandon)
        self._events.tell(self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what the view has left to do; where the run was interrupted, for its cancellation."""
        try:
            if kind is None or issubclass(kind, Exception):
                self._events.tell(self._orders.put_nowait, None)
                self._serve(self._over)
        finally:
            while not self._over.done():
                self._events.tell(self._abandon)
                with contextlib.suppress(BaseException):  # the next interruption, among others
                    self._serve(self._over)
            self._events.tenants.clear()
            vars(SyncToAsync.threadlocal).clear()  # whatever comes next in this thread is not called by the loop
            vars(SyncToAsync.threadlocal).update(self._outside)

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` comes to. All calls are made by one task, in one context."""
        future: Future[T] = Future()
        self._events.tell(self._orders.put_nowait, (future, partial(function, *args, **kwargs)))
        return self._serve(future)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """For asgiref."""
        future: Future[T] = Future()
        self._work.put(partial(_perform, future, partial(fn, *args, **kwargs)))
        return future

    def _serve(self, awaited: Future[T]) -> T:
        """Do what there is to do, until the loop has come to ``awaited``."""
        if awaited is not self._over:
            awaited.add_done_callback(self._wake)
        while not (awaited.done() or self._over.done()):
            self._work.get()()
        if not awaited.done():
            raise asyncio.CancelledError("the run has ended in its event loop")
        return awaited.result()

    def _wake(self, _: Future[Any]) -> None:
        self._work.put(_nothing)

    # In the thread of the loop ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._life = self._loop.create_task(self._live())

    async def _live(self) -> None:
        """Play, and leave nothing of this run behind: no task, no thread."""
        self._earlier = asyncio.all_tasks()
        self._loop.set_exception_handler(self._note)
        with ThreadPoolExecutor(1) as last:
            threads = Threads(thread_name_prefix="asyncexchange-asyncio")
            self._loop.set_default_executor(threads)
            async with event_loops.Generators(self._events):
                play = asyncio.create_task(self._play())
                await asyncio.wait([play])
                while tasks := self._tasks():
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
            await self._loop.run_in_executor(last, threads.shutdown)
        failure = asyncio.CancelledError() if play.cancelled() else play.exception()
        self._loop.set_exception_handler(None)
        SyncToAsync.context_to_thread_executor.pop(self._context, None)
        if failure is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(failure)

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """Those of this run."""
        return asyncio.all_tasks(self._loop) - self._earlier

    async def _play(self) -> None:
        # The context is not left while the run lasts: tasks that are cancelled clean up after this one has ended.
        await self._context.__aenter__()  # type: ignore[no-untyped-call]
        SyncToAsync.context_to_thread_executor[self._context] = self
        with self._surroundings():
            async with contextlib.AsyncExitStack() as self.stack:
                await self._obey()
            await self._let_tasks_end()

    async def _obey(self) -> None:
        while (order := await self._orders.get()) is not None:
            future, function = order
            try:
                future.set_result(await function())
            except BaseException as error:
                future.set_exception(error)

    async def _let_tasks_end(self) -> None:
        """What a view has begun with ``create_task`` goes on under a server; here it ends within the run."""
        until = self._run.began + (1 - RESERVE) * self._run.limit
        while not self._is_abandoned and (others := self._tasks() - {asyncio.current_task()}):
            left = until - time.monotonic()
            if left <= 0:
                logger.warning("task %s: %d tasks of its view do not end, and are cancelled", self._run.id, len(others))
                return
            await asyncio.wait(others, timeout=left)

    def _abandon(self) -> None:
        self._is_abandoned = True
        self._orders.put_nowait(None)
        for task in self._tasks():
            task.cancel()

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio says of exceptions that nobody has caught."""
        error = context.get("exception")
        logger.error("task %s: %s", self._run.id, context["message"], exc_info=error)


def _nothing() -> None:
    """Work that merely wakes whoever waits for some."""


def _perform(future: Future[T], function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        future.set_result(result)


@contextlib.contextmanager
def answered(
    request: ASGIRequest, run: WatchedRun, surroundings: Callable[[], contextlib.AbstractContextManager[None]]
) -> Iterator[tuple[Any, Iterable[bytes]]]:
    """The answer to ``request``, and its body as it is produced."""
    with Loop(run, surroundings) as loop:
        yield loop.call(_begun, request, run, loop)


async def _begun(request: ASGIRequest, run: WatchedRun, loop: Loop) -> tuple[Any, Iterable[bytes]]:
    response = await handlers.async_handler()(request)
    loop.stack.push_async_callback(sync_to_async(response.close))
    if not response.streaming:
        return response, run.counted([response.content], response)
    if getattr(response, "is_async", False):
        parts = await loop.stack.enter_async_context(contextlib.aclosing(aiter(response)))
        return response, _portions(loop, parts, run.counter(response))
    return response, run.counted(_chunks(await sync_to_async(contextvars.copy_context)(), response), response)


def _portions(loop: Loop, parts: AsyncIterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    """All of ``parts``; small ones put together, since each portion takes a change of threads."""
    while portion := loop.call(_portion, parts, count):
        yield portion


async def _portion(parts: AsyncIterator[bytes], count: Callable[[int], None]) -> bytes:
    """The next of ``parts``; ``b""`` when there are no more."""
    taken, until = bytearray(), time.monotonic() + MOMENT
    async for part in parts:
        count(len(part))
        taken += part
        if len(taken) >= PORTION or (taken and time.monotonic() > until):
            break
    return bytes(taken)


def _chunks(context: contextvars.Context, response: Any) -> Iterator[bytes]:
    """A synchronous stream, read by the thread of the run, in the context that its view has left."""
    chunks = iter(response)
    while (chunk := context.run(next, chunks, None)) is not None:
        yield chunk
