"""Real servers on loopback, in threads of the test process, and a client that keeps raw responses."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
import waitress.server
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connections
from waitress.task import ThreadedTaskDispatcher


class Dispatcher(ThreadedTaskDispatcher):
    """Closes the database connections of its threads with them.

    Django closes them after each request, but not while another thread of the process uses Django's test client.
    """

    def handler_thread(self, thread_no: int) -> None:
        try:
            super().handler_thread(thread_no)
        finally:
            connections.close_all()


@contextlib.contextmanager
def wsgi_server() -> Iterator[int]:
    """The test project behind waitress; yields the port."""
    dispatcher = Dispatcher()
    dispatcher.set_thread_count(2)
    server = waitress.server.create_server(get_wsgi_application(), host="127.0.0.1", port=0, _dispatcher=dispatcher)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.effective_port
    finally:
        server.task_dispatcher.shutdown()  # a busy thread would write to a file descriptor that is reused by then
        with server.trigger.lock:  # and so would we, if the loop were awake already
            server.trigger.thunks.append(lambda: end(server))
            server.pull_trigger()
        thread.join()


def end(server: Any) -> None:
    """Close everything, also kept-alive connections, in the server's own thread: its loop then ends."""
    for channel in list(server.active_channels.values()):
        channel.handle_close()
    server.close()


@contextlib.contextmanager
def asgi_server() -> Iterator[int]:
    """The test project behind uvicorn; yields the port. The socket listens before the server runs: no wait."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(
            get_asgi_application(), lifespan="off", ws="none", log_config=None, log_level="warning", http="h11"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def ask(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """(status, reason phrase, header lines in order, body) of one call on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        return response.status, response.reason, response.getheaders(), content
