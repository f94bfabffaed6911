"""Runs a call that came by ASGI: Django's asynchronous handler in an event loop, without leftovers of the run.

The loop has a thread of its own (``event_loops``). Synchronous code (middlewares, views, queries: whatever
``sync_to_async`` runs thread-sensitively) runs in the thread of the run, which waits for the loop meanwhile. So it uses
the database connections that the watchdog and ``db_sessions`` know, and can be interrupted.
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
LoopCall = tuple[Future[Any], Callable[[], Awaitable[Any]]]

CHUNK_SIZE = 64 * 1024
"""Bytes of an asynchronous stream that are read at a time."""
CHUNK_SECONDS = 0.2
"""Seconds after which a smaller chunk of a slow stream is passed on."""
TASKS_RESERVE = 0.1
"""The share of the run limit that must be left when tasks of the view go on after its response."""


class RunThreads(ThreadPoolExecutor):
    """The threads of ``asyncio.to_thread``. They close their database connections: nobody else could."""

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return super().submit(_in_thread, work, *args, **kwargs)


def _in_thread(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    try:
        return work(*args, **kwargs)
    finally:
        connections.close_all()


class RunLoop(Executor):
    """One run in the event loop of its thread; as an executor, it runs functions in the thread of the run."""

    def __init__(self, run: WatchedRun, context_manager: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._run, self._context_manager = run, context_manager
        self._events = event_loops.of_this_thread()
        self._loop = self._events.loop
        self._calls: asyncio.Queue[LoopCall | None] = asyncio.Queue()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over: Future[None] = Future()
        self._over.add_done_callback(self._wake)
        self._context = ThreadSensitiveContext()
        self._tasks_before: set[asyncio.Task[Any]] = set()
        self._is_cancelled = False

    # In the thread of the run -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._outside = dict(vars(SyncToAsync.threadlocal))
        self._events.on_exit.append(self._cancel)
        self._events.call_soon(self._start)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for tasks that the view has started; after an interruption, for their cancellation."""
        try:
            if kind is None or issubclass(kind, Exception):
                self._events.call_soon(self._calls.put_nowait, None)
                self._serve(self._over)
        finally:
            while not self._over.done():
                self._events.call_soon(self._cancel)
                with contextlib.suppress(BaseException):  # for example the next interruption
                    self._serve(self._over)
            self._events.on_exit.clear()
            vars(SyncToAsync.threadlocal).clear()  # later code of this thread does not belong to the loop
            vars(SyncToAsync.threadlocal).update(self._outside)

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``function`` in the loop. All calls share one task and one context."""
        future: Future[T] = Future()
        self._events.call_soon(self._calls.put_nowait, (future, partial(function, *args, **kwargs)))
        return self._serve(future)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The ``concurrent.futures`` method that asgiref calls."""
        future: Future[T] = Future()
        self._work.put(partial(_execute, future, partial(fn, *args, **kwargs)))
        return future

    def _serve(self, awaited: Future[T]) -> T:
        """Execute functions for the loop until ``awaited`` is done."""
        if awaited is not self._over:
            awaited.add_done_callback(self._wake)
        while not (awaited.done() or self._over.done()):
            self._work.get()()
        if not awaited.done():
            raise asyncio.CancelledError("the run has ended in its event loop")
        return awaited.result()

    def _wake(self, _: Future[Any]) -> None:
        self._work.put(_wake_up)

    # In the thread of the loop ----------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._task = self._loop.create_task(self._run_and_clean_up())

    async def _run_and_clean_up(self) -> None:
        """Run, and leave no task and no thread behind."""
        self._tasks_before = asyncio.all_tasks()
        self._loop.set_exception_handler(self._log_exception)
        with ThreadPoolExecutor(1) as last:
            threads = RunThreads(thread_name_prefix="asyncexchange-asyncio")
            self._loop.set_default_executor(threads)
            async with event_loops.Generators(self._events):
                play = asyncio.create_task(self._main())
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
        """The tasks of this run."""
        return asyncio.all_tasks(self._loop) - self._tasks_before

    async def _main(self) -> None:
        # The context is not left here: cancelled tasks may still need its thread when this one has ended.
        await self._context.__aenter__()  # type: ignore[no-untyped-call]
        SyncToAsync.context_to_thread_executor[self._context] = self
        with self._context_manager():
            async with contextlib.AsyncExitStack() as self.stack:
                await self._process_calls()
            await self._wait_for_tasks()

    async def _process_calls(self) -> None:
        while (order := await self._calls.get()) is not None:
            future, function = order
            try:
                future.set_result(await function())
            except BaseException as error:
                future.set_exception(error)

    async def _wait_for_tasks(self) -> None:
        """Wait for what the view has started with ``create_task``: under a server it would go on."""
        until = self._run.began + (1 - TASKS_RESERVE) * self._run.limit
        while not self._is_cancelled and (others := self._tasks() - {asyncio.current_task()}):
            left = until - time.monotonic()
            if left <= 0:
                logger.warning(
                    "task %s: %d tasks of its view have not ended, and are cancelled", self._run.id, len(others)
                )
                return
            await asyncio.wait(others, timeout=left)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._calls.put_nowait(None)
        for task in self._tasks():
            task.cancel()

    def _log_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log exceptions that no code has caught."""
        error = context.get("exception")
        logger.error("task %s: %s", self._run.id, context["message"], exc_info=error)


def _wake_up() -> None:
    """In ``_work``: ends the wait of ``_serve()``."""


def _execute(future: Future[T], function: Callable[[], T]) -> None:
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
def response_of(
    request: ASGIRequest, run: WatchedRun, context_manager: Callable[[], contextlib.AbstractContextManager[None]]
) -> Iterator[tuple[Any, Iterable[bytes]]]:
    """The response to ``request``, and its body as it is produced."""
    with RunLoop(run, context_manager) as loop:
        yield loop.call(_start_response, request, run, loop)


async def _start_response(request: ASGIRequest, run: WatchedRun, loop: RunLoop) -> tuple[Any, Iterable[bytes]]:
    response = await handlers.async_handler()(request)
    loop.stack.push_async_callback(sync_to_async(response.close))
    if not response.streaming:
        return response, run.counted([response.content], response)
    if getattr(response, "is_async", False):
        parts = await loop.stack.enter_async_context(contextlib.aclosing(aiter(response)))
        return response, _chunks_of_stream(loop, parts, run.counter(response))
    return response, run.counted(_sync_chunks(await sync_to_async(contextvars.copy_context)(), response), response)


def _chunks_of_stream(loop: RunLoop, parts: AsyncIterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    """``parts`` in larger chunks: each one costs a change of threads."""
    while portion := loop.call(_next_chunk, parts, count):
        yield portion


async def _next_chunk(parts: AsyncIterator[bytes], count: Callable[[int], None]) -> bytes:
    """The next chunk; ``b""`` at the end."""
    taken, until = bytearray(), time.monotonic() + CHUNK_SECONDS
    async for part in parts:
        count(len(part))
        taken += part
        if len(taken) >= CHUNK_SIZE or (taken and time.monotonic() > until):
            break
    return bytes(taken)


def _sync_chunks(context: contextvars.Context, response: Any) -> Iterator[bytes]:
    """A synchronous stream, read in the thread of the run and in the context of its view."""
    chunks = iter(response)
    while (chunk := context.run(next, chunks, None)) is not None:
        yield chunk
