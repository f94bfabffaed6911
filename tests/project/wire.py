"""A proxy to a server on loopback that can be cut and restored, and that counts the bytes that return."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

PIECE = 64 * 1024


class Wire:
    """Forwards connections to ``target``. Cut, it resets open connections and refuses new ones."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.received = 0
        """Bytes that came back from the server."""
        self.sent = 0
        """Bytes that went to the server."""
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.threads: list[threading.Thread] = []
        self.port = 0
        self.mend()

    def mend(self) -> None:
        """Restore, at the same port."""
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", self.port))
        self.listening.listen()
        self.port = self.listening.getsockname()[1]
        self._start(self._accept, self.listening)

    def cut(self) -> None:
        """Reset everything under way."""
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        while self.pairs:
            for end in self.pairs.pop():
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut for good, and clean up."""
        self.cut()
        for thread in self.threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self.threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                try:
                    far = socket.create_connection(self.target)
                except OSError:  # the server is down: so is this connection, but not the proxy
                    near.close()
                    continue
                self.pairs.append((near, far))
                self._start(self._carry, near, far, False)
                self._start(self._carry, far, near, True)

    def _carry(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                self.received += len(data) if is_answer else 0
                sink.sendall(data)
                self.sent += 0 if is_answer else len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if is_answer:
            source.close()
            sink.close()


@contextlib.contextmanager
def wire(port: int) -> Iterator[Wire]:
    """A proxy to the server at ``port``."""
    ours = Wire(("127.0.0.1", port))
    try:
        yield ours
    finally:
        ours.close()
