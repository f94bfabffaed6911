"""A client of a web server that reads as fast as possible and keeps nothing."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from .door import LATER, TOKEN
from .site import MB

PATIENCE = 600
PAUSE = 0.05


class Visitor:
    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    @contextlib.contextmanager
    def asked(self, target: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("GET", target, headers={"Authorization": f"Token {TOKEN}", **headers})
            yield connection.getresponse()

    def chunks(self, target: str) -> Iterator[bytes]:
        with self.asked(target) as response:
            assert response.status == 200, (response.status, response.read(500))
            while chunk := response.read(MB):
                yield chunk

    def submit(self, target: str) -> str:
        """The status URL of a submitted call."""
        with self.asked(target, **LATER) as response:
            assert response.status == 202, (response.status, response.read(500))
            return urlsplit(response.headers["Location"]).path

    def ended(self, task: str) -> str:
        """The result's URL, as soon as there is one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self.asked(task) as response:
                if response.status == 303:
                    return urlsplit(response.headers["Location"]).path
                assert response.status == 202, response.status
            time.sleep(PAUSE)
        raise TimeoutError(task)

    def later(self, target: str) -> str:
        """The result's URL of a submitted call that has run."""
        return self.ended(self.submit(target))
