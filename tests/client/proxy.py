"""A proxy on loopback that breaks one exchange of a request and its response at a chosen moment."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 64 * 1024
MOMENTS = ("before the request", "before the response", "after the headers", "in the body")
SUBMIT, POLL, RESULT = "submit", "poll", "result"


class Fault:
    """At requests of ``step``: a moment, or a status that is answered instead; ``after``: so many bytes of the body."""

    def __init__(self, step: str, what: str | int, times: int = 1, after: int | None = None) -> None:
        self.step, self.what, self.times, self.after = step, what, times, after


class Proxy(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = target
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        """(step, method, headers) of all requests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault_at(self, step: str) -> Fault | None:
        """The fault of the next request of ``step``, which is used up."""
        for fault in self.faults:
            if fault.step == step and fault.times:
                fault.times -= 1
                return fault
        return None

    def steps(self) -> list[str]:
        return [step for step, _, _ in self.seen]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that close early are no errors."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: Any) -> None: ...

    def handle_any(self) -> None:
        step = RESULT if self.path.endswith("/result") else POLL if self.path.startswith("/async/") else SUBMIT
        self.server.seen.append((step, self.command, {name.lower(): text for name, text in self.headers.items()}))
        self.close_connection = True
        fault = self.server.fault_at(step)
        if fault is not None and isinstance(fault.what, int):
            self.send_response(fault.what)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault is not None and fault.what == MOMENTS[0]:
            self.break_off()
        else:
            self.forward(fault)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

    def forward(self, fault: Fault | None) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)) as server:
            server.request(self.command, self.path, body or None, dict(self.headers.items()))
            response = server.getresponse()
            if fault is not None and fault.what == MOMENTS[1]:
                response.read()
                self.break_off()
                return
            self.send_response_only(response.status, response.reason)
            for name, text in response.getheaders():
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, text)
            is_chunked = response.getheader("Transfer-Encoding") is not None
            self.send_header("Transfer-Encoding", "chunked") if is_chunked else None
            self.send_header("Connection", "close")
            self.end_headers()
            self.pass_on(response, fault, is_chunked)

    def pass_on(self, response: http.client.HTTPResponse, fault: Fault | None, is_chunked: bool) -> None:
        left = None
        if fault is not None:
            half = int(response.getheader("Content-Length") or 2 * PIECE) // 2
            left = 0 if fault.what == MOMENTS[2] else half if fault.after is None else fault.after
        while data := response.read(PIECE if left is None else min(PIECE, left)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data)
            left = None if left is None else left - len(data)
        if left is not None:
            self.break_off()
        elif is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def break_off(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy to the server at port ``target``."""
    with Proxy(target) as ours:
        thread = threading.Thread(target=ours.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield ours
        finally:
            ours.shutdown()
            thread.join()
