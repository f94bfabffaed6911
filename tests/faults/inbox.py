"""Many receivers of webhooks in one thread, each with its own port: they record what came, when and from whom."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Message:
    port: int
    sender: int
    """The port that it came from."""
    headers: dict[str, str]
    body: bytes
    at: float
    """Seconds since the epoch."""

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Inbox:
    def __init__(self) -> None:
        self.ports: list[int] = []
        self.messages: list[Message] = []
        self.silent: set[int] = set()
        """Ports that take messages, say nothing, and do not write them down."""
        self.holds = 0
        """How many messages they have taken."""
        self.given_up: list[float] = []
        """When each of these connections was given up, in seconds since the epoch."""
        self.before: Callable[[Message], bool] = lambda message: True
        """Asked before each answer; False = there will be none."""
        self.stop: Callable[[], object] = lambda: None

    async def receive(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                await self._hear(port, reader, writer)
            finally:
                writer.transport.abort()

    async def _hear(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        if port in self.silent:
            self.holds += 1
            await reader.read()
            self.given_up.append(time.time())
            return
        message = Message(port, writer.get_extra_info("peername")[1], headers, body, time.time())
        self.messages.append(message)
        if self.before(message):
            writer.write(ANSWER)
            await reader.read()  # the sender closes

    async def serve(self, count: int, ready: threading.Event) -> None:
        stop = asyncio.Event()
        self.stop = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            for number in range(count):
                server = await asyncio.start_server(self._at(number), "127.0.0.1", 0)
                stack.callback(server.close)
                self.ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    def _at(self, number: int) -> Callable[..., Coroutine[Any, Any, None]]:
        return lambda reader, writer: self.receive(self.ports[number], reader, writer)


@contextlib.contextmanager
def inbox(count: int) -> Iterator[Inbox]:
    """``count`` receivers."""
    made, ready = Inbox(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(made.serve(count, ready)))
    thread.start()
    try:
        assert ready.wait(10)
        yield made
    finally:
        made.stop()
        thread.join()
