"""Transports for httpx: ``httpx.Client(transport=Transport())``, and ``AsyncTransport`` for ``httpx.AsyncClient``."""

from __future__ import annotations

import asyncio
import contextlib
import time

import httpx

from .exchange import Exchange
from .values import Call, Event, Lost, Options, Read, Reply, Send, Step, Submit, Wait


class Transport(httpx.BaseTransport):
    """Sends through ``transport``, httpx's own unless given, and returns final responses."""

    def __init__(self, options: Options | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.options = options or Options()
        self.transport = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        exchange = Exchange(call_of(request), self.options)
        steps, event, response = exchange.steps(), None, None
        try:
            while True:
                step = steps.send(event)
                if response is not None and isinstance(step, Submit | Send):
                    response.close()
                    response = None
                response, event = self._do(step, request, response)
        except StopIteration:
            assert response is not None
            return response
        except BaseException as error:
            if response is not None:
                response.close()
            cancellation = exchange.cancellation()
            if isinstance(error, KeyboardInterrupt) and cancellation:
                with contextlib.suppress(Exception):
                    self.transport.handle_request(built(cancellation, request)).close()
            raise

    def _do(
        self, step: Step, request: httpx.Request, response: httpx.Response | None
    ) -> tuple[httpx.Response | None, Event]:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return response, None
        try:
            if isinstance(step, Read):
                assert response is not None
                response.read()
            else:
                response = self.transport.handle_request(built(step, request))
        except httpx.TransportError as error:
            return response, Lost(error)
        return response, reply_of(response)

    def close(self) -> None:
        self.transport.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for asyncio."""

    def __init__(self, options: Options | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.options = options or Options()
        self.transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = Exchange(call_of(request), self.options)
        steps, event, response = exchange.steps(), None, None
        try:
            while True:
                try:
                    step = steps.send(event)
                except StopIteration:
                    assert response is not None
                    return response
                if response is not None and isinstance(step, Submit | Send):
                    await response.aclose()
                    response = None
                response, event = await self._do(step, request, response)
        except BaseException as error:
            if response is not None:
                await response.aclose()
            cancellation = exchange.cancellation()
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) and cancellation:
                with contextlib.suppress(Exception):
                    await (await self.transport.handle_async_request(built(cancellation, request))).aclose()
            raise

    async def _do(
        self, step: Step, request: httpx.Request, response: httpx.Response | None
    ) -> tuple[httpx.Response | None, Event]:
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return response, None
        try:
            if isinstance(step, Read):
                assert response is not None
                await response.aread()
            else:
                response = await self.transport.handle_async_request(built(step, request))
        except httpx.TransportError as error:
            return response, Lost(error)
        return response, reply_of(response)

    async def aclose(self) -> None:
        await self.transport.aclose()


def call_of(request: httpx.Request) -> Call:
    is_repeatable = isinstance(request.stream, httpx.ByteStream)
    return Call(request.method, str(request.url), dict(request.headers), is_repeatable)


def built(step: Submit | Send, request: httpx.Request) -> httpx.Request:
    """The request of ``step``; a poll may be held longer than the read timeout of the client."""
    if isinstance(step, Submit):
        # A copy: the caller may send the request again, or follow a redirect with its headers, which needs another key.
        headers = request.headers.copy()
        headers.update(step.headers)
        return httpx.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
    extensions = dict(request.extensions)
    timeout = dict(extensions.get("timeout") or {})
    if timeout.get("read") is not None:
        timeout["read"] += step.patience
        extensions["timeout"] = timeout
    return httpx.Request(step.method, step.url, headers=dict(step.headers), extensions=extensions)


def reply_of(response: httpx.Response) -> Reply:
    body = response.content if response.is_stream_consumed or response.is_closed else b""
    return Reply(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)
