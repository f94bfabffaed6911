"""An adapter for requests: ``session.mount("https://example.org/", AsyncExchangeAdapter())``."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from .download import Download
from .exchange import Exchange, Steps
from .values import Call, Event, Lost, Options, Read, Reply, Send, Step, Submit, Wait

PIECE = 64 * 1024


class AsyncExchangeAdapter(HTTPAdapter):
    """Returns final responses. ``timeout`` of a call is that of each connection, as usual; polls may take longer."""

    def __init__(self, options: Options | None = None, **settings: Any) -> None:
        self.options = options or Options()
        super().__init__(**settings)

    def send(self, request: requests.PreparedRequest, *given: Any, **named: Any) -> requests.Response:
        named |= dict(zip(("stream", "timeout", "verify", "cert", "proxies"), given, strict=False))
        named["stream"] = True
        exchange = Exchange(call_of(request), self.options)
        try:
            response, reply = self.done(exchange.steps(), request, named)
        except BaseException as error:
            cancellation = exchange.cancellation()
            if isinstance(error, KeyboardInterrupt) and cancellation:
                with contextlib.suppress(Exception):
                    self._sent(cancellation, request, named).close()
            raise
        response.request, response.url = request, str(request.url)
        if exchange.result_url:
            download = Download(exchange, reply)
            response.raw = continued(Body(self, request, named, response.raw, download))
            for name in download.without:
                response.headers.pop(name, None)
        return response

    def done(
        self, steps: Steps, request: requests.PreparedRequest, named: dict[str, Any]
    ) -> tuple[requests.Response, Reply]:
        """Do ``steps``: the last response, with what they returned."""
        event, response = None, None
        try:
            while True:
                step = steps.send(event)
                if response is not None and isinstance(step, Submit | Send):
                    response.close()
                    response = None
                response, event = self._do(step, request, response, named)
        except StopIteration as end:
            assert response is not None
            return response, end.value
        except BaseException:
            if response is not None:
                response.close()
            raise

    def _do(
        self, step: Step, request: requests.PreparedRequest, response: requests.Response | None, named: dict[str, Any]
    ) -> tuple[requests.Response | None, Event]:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return response, None
        try:
            if isinstance(step, Read):
                assert response is not None
                return response, reply_of(response, response.content)
            response = self._sent(step, request, named)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            return response, Lost(error)
        return response, reply_of(response)

    def _sent(self, step: Submit | Send, request: requests.PreparedRequest, named: dict[str, Any]) -> requests.Response:
        if isinstance(step, Submit):
            # A copy: the caller may send the request again, or follow a redirect with its headers: that is another key.
            submitted = request.copy()
            submitted.headers.update(step.headers)
            return super().send(submitted, **named)
        poll = requests.Request(step.method, step.url, headers=dict(step.headers)).prepare()
        return super().send(poll, **named | {"timeout": longer(named.get("timeout"), step.patience)})


class Body(io.RawIOBase):
    """The body of a result, which is continued where its connection breaks."""

    def __init__(
        self,
        adapter: AsyncExchangeAdapter,
        request: requests.PreparedRequest,
        named: dict[str, Any],
        raw: urllib3.BaseHTTPResponse,
        download: Download,
    ) -> None:
        self.adapter, self.request, self.named = adapter, request, named
        self.raw_response, self.pieces, self.download = raw, pieces(raw), download
        self.left = memoryview(b"")
        """What has arrived and was not read yet."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.left:
            error, data = None, b""
            try:
                data = next(self.pieces, b"")
            except (urllib3.exceptions.HTTPError, OSError) as broken:
                error = broken
            if data:
                self.left = memoryview(self.download.taken(data))
            elif self.download.is_over(error):
                return 0
            else:
                self.raw_response.close()
                response, _ = self.adapter.done(self.download.rest(error), self.request, self.named)
                self.raw_response, self.pieces = response.raw, pieces(response.raw)
        part, self.left = self.left[: len(buffer)], self.left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self.raw_response.close()
        self.raw_response.release_conn()
        super().close()


def pieces(raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The body as it is sent. Unlike ``read`` it does not lose the chunks before a broken one."""
    return iter(raw.stream(PIECE, decode_content=False))


def continued(body: Body) -> urllib3.HTTPResponse:
    """What requests reads, and decompresses where a header says so."""
    raw = body.raw_response
    return urllib3.HTTPResponse(
        io.BufferedReader(body, PIECE),
        headers={name: text for name, text in raw.headers.items() if name.lower() not in body.download.without},
        status=raw.status,
        version=raw.version,
        reason=raw.reason,
        preload_content=False,
        decode_content=False,
        original_response=getattr(raw, "_original_response", None),  # where a session looks for cookies
        enforce_content_length=False,
    )


def call_of(request: requests.PreparedRequest) -> Call:
    is_repeatable = request.body is None or isinstance(request.body, bytes | str)
    headers = dict(request.headers)
    return Call(str(request.method), str(request.url), headers, is_repeatable)


def longer(timeout: Any, seconds: float) -> Any:
    """A timeout of requests, (connect, read) or one number for both, whose read part is ``seconds`` longer."""
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return connect, read if read is None else read + seconds


def reply_of(response: requests.Response, body: bytes = b"") -> Reply:
    return Reply(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)
