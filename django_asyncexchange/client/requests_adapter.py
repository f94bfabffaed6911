"""An adapter for requests: ``session.mount("https://example.org/", AsyncExchangeAdapter())``."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from .exchange import Exchange
from .values import Call, Event, Lost, Options, Read, Reply, Send, Step, Submit, Wait


class AsyncExchangeAdapter(HTTPAdapter):
    """Returns final responses. ``timeout`` of a call is that of each connection, as usual; polls may take longer."""

    def __init__(self, options: Options | None = None, **settings: Any) -> None:
        self.options = options or Options()
        super().__init__(**settings)

    def send(self, request: requests.PreparedRequest, *given: Any, **named: Any) -> requests.Response:
        named |= dict(zip(("stream", "timeout", "verify", "cert", "proxies"), given, strict=False))
        named["stream"] = True
        exchange = Exchange(call_of(request), self.options)
        steps, event, response = exchange.steps(), None, None
        try:
            while True:
                step = steps.send(event)
                if response is not None and isinstance(step, Submit | Send):
                    response.close()
                    response = None
                response, event = self._do(step, request, response, named)
        except StopIteration:
            assert response is not None
            response.request, response.url = request, str(request.url)
            return response
        except BaseException as error:
            if response is not None:
                response.close()
            cancellation = exchange.cancellation()
            if isinstance(error, KeyboardInterrupt) and cancellation:
                with contextlib.suppress(Exception):
                    self._sent(cancellation, request, named).close()
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
