"""Receivers of webhooks: real servers on loopback, well-behaved and otherwise."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = ["127.0.0.0/8"]


class Seen:
    """One request as received."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.method = handler.command
        self.path = handler.path
        self.headers = {name.lower(): text for name, text in handler.headers.items()}
        self.body = body
        self.connection = handler.connection


class Receiver:
    """An HTTP server that records requests and answers with the next of ``answers``, repeating the last one."""

    def __init__(self, *answers: int | tuple[int, dict[str, str], bytes]) -> None:
        self.answers = list(answers) or [200]
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.port = 0
        self.before: Callable[[Seen], Any] = lambda seen: None
        """Called with every request before it is answered."""

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def hang_up(self, seen: Seen) -> None:
        """Close the connection of ``seen`` without a response."""
        seen.connection.shutdown(socket.SHUT_RDWR)

    def next(self) -> tuple[int, dict[str, str], bytes]:
        with self.lock:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return (answer, {}, b"thanks") if isinstance(answer, int) else answer


@contextlib.contextmanager
def receiving(
    *answers: int | tuple[int, dict[str, str], bytes], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    receiver = Receiver(*answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen = Seen(self, body)
            with receiver.lock:
                receiver.seen.append(seen)
            receiver.before(seen)
            status, headers, answer = receiver.next()
            with contextlib.suppress(OSError):
                self.answer(status, headers, answer)

        def answer(self, status: int, headers: dict[str, str], answer: bytes) -> None:
            self.send_response(status)
            for name, text in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = respond

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            if tls is None:
                super().finish_request(request, client_address)
                return
            with contextlib.suppress(OSError), tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)

    server = Server((host, 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Misbehaving servers, on the level of the socket ----------------------------------------------------------------------

DRIP = 0.05
"""Seconds between two bytes of those that drip."""
HEAD = b"HTTP/1.1 200 OK\r\n"


@functools.cache
def gzipped() -> bytes:
    """200 MB, compressed to 0.2 MB in pieces, so that it does not count in memory measurements."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b"0" * 1_000_000) for _ in range(200)) + packer.flush()


def drip_header(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(HEAD)
    while not stop.wait(DRIP):
        connection.sendall(b"X-Slow: 1\r\n"[:1])


def drip_body(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while not stop.wait(DRIP):
        connection.sendall(b"x")


def black_hole(connection: socket.socket, stop: threading.Event) -> None:
    stop.wait()


def go_on(connection: socket.socket, stop: threading.Event) -> None:
    """100 Continue, repeated for ever."""
    while not stop.wait(DRIP):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def reset(connection: socket.socket, stop: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def bomb(connection: socket.socket, stop: threading.Event) -> None:
    length = f"Content-Encoding: gzip\r\nContent-Length: {len(gzipped())}\r\n\r\n".encode()
    connection.sendall(HEAD + length + gzipped())


def flood(connection: socket.socket, stop: threading.Event) -> None:
    """A gigabyte, as fast as it is read."""
    connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"x" * 65536)


def babble(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"What do you want?\r\n\r\n")


Misbehaviour = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def misbehaving(misbehave: Misbehaviour) -> Iterator[int]:
    """The port of a server that reads one message and then misbehaves; it ends with the block."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            connection.recv(65536)
            misbehave(connection, stop)

    def accept() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                thread.start()
                threads.append(thread)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        acceptor.join()
        for thread in threads:
            thread.join()
        listener.close()
