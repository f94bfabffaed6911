"""The project's WSGI application, called as a server calls it, without a server."""

from __future__ import annotations

import io
import json
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

TOKEN = "token-anna"
LATER = {"Prefer": "respond-async"}
DATA = {"name": "a report", "from": "2026-01-01", "to": "2026-02-01", "fields": ["id", "name", "quantity", "price"]}


class Answer:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = b""

    def begin(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status, self.headers = int(status.split()[0]), dict(headers)

    @property
    def document(self) -> Any:
        return json.loads(self.content)


class Door:
    """An application with the current ``MIDDLEWARE``."""

    def __init__(self) -> None:
        self._application: Any = WSGIHandler()

    def call(
        self, method: str, target: str, *, token: str = TOKEN, data: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        body = b"" if data is None else json.dumps(data).encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "HTTP_ACCEPT": "application/json",
            "HTTP_USER_AGENT": "benchmarks/1.0",
            "HTTP_AUTHORIZATION": f"Token {token}",
            "CONTENT_TYPE": "application/json" if body else "",
            "CONTENT_LENGTH": str(len(body)) if body else "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
        for name, text in (headers or {}).items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = text
        answer = Answer()
        response = self._application(environ, answer.begin)
        try:
            answer.content = b"".join(response)
        finally:
            response.close()
        return answer

    def expect(self, status: int, method: str, target: str, **more: Any) -> Answer:
        """The response, which has this status."""
        answer = self.call(method, target, **more)
        assert answer.status == status, (answer.status, answer.content[:500])
        return answer

    def submit(self, method: str = "POST", target: str = "/works/", *, token: str = TOKEN) -> str:
        """The id of the task of a submitted call."""
        data = DATA if method == "POST" else None
        answer = self.expect(202, method, target, token=token, data=data, headers=LATER)
        return answer.headers["Location"].rpartition("/")[2]
