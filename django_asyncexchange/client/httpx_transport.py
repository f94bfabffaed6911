"""Transports for httpx: ``httpx.Client(transport=Transport())``, and ``AsyncTransport`` for ``httpx.AsyncClient``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from .download import Download
from .exchange import Exchange, Steps
from .values import Call, Event, Lost, Options, Read, Reply, Send, Step, Submit, Wait


class Transport(httpx.BaseTransport):
    """Sends through ``transport``, httpx's own unless given, and returns final responses."""

    def __init__(self, options: Options | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.options = options or Options()
        self.transport = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        exchange = Exchange(call_of(request), self.options)
        try:
            response, reply = self.done(exchange.steps(), request)
        except BaseException as error:
            cancellation = exchange.cancellation()
            if isinstance(error, KeyboardInterrupt) and cancellation:
                with contextlib.suppress(Exception):
                    self.transport.handle_request(built(cancellation, request)).close()
            raise
        if exchange.result_url:
            download = Download(exchange, reply)
            response.stream = Body(self, request, response, download)
            for name in download.without:
                response.headers.pop(name, None)
        return response

    def done(self, steps: Steps, request: httpx.Request) -> tuple[httpx.Response, Reply]:
        """Do ``steps``: the last response, with what they returned."""
        event, response = None, None
        try:
            while True:
                step = steps.send(event)
                if response is not None and isinstance(step, Submit | Send):
                    response.close()
                    response = None
                response, event = self._do(step, request, response)
        except StopIteration as end:
            assert response is not None
            return response, end.value
        except BaseException:
            if response is not None:
                response.close()
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
                body = b"".join(response.iter_raw())
                return kept(response, body), reply_of(response, kept(response, body).read())
            response = self.transport.handle_request(built(step, request))
        except httpx.TransportError as error:
            return response, Lost(error)
        return response, reply_of(response)

    def close(self) -> None:
        self.transport.close()


class Body(httpx.SyncByteStream):
    """The body of a result, which is continued where its connection breaks."""

    def __init__(self, transport: Transport, request: httpx.Request, response: httpx.Response, part: Download) -> None:
        self.transport, self.request, self.download = transport, request, part
        self.stream = response.stream

    def __iter__(self) -> Iterator[bytes]:
        while True:
            error = None
            assert isinstance(self.stream, httpx.SyncByteStream)
            try:
                for chunk in self.stream:
                    if data := self.download.taken(chunk):
                        yield data
            except httpx.TransportError as broken:
                error = broken
            if self.download.is_over(error):
                return
            self.stream.close()
            response, _ = self.transport.done(self.download.rest(error), self.request)
            self.stream = response.stream

    def close(self) -> None:
        assert isinstance(self.stream, httpx.SyncByteStream)
        self.stream.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for asyncio."""

    def __init__(self, options: Options | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.options = options or Options()
        self.transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = Exchange(call_of(request), self.options)
        try:
            response, reply = await self.done(exchange.steps(), request)
        except BaseException as error:
            cancellation = exchange.cancellation()
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) and cancellation:
                with contextlib.suppress(Exception):
                    await (await self.transport.handle_async_request(built(cancellation, request))).aclose()
            raise
        if exchange.result_url:
            download = Download(exchange, reply)
            response.stream = AsyncBody(self, request, response, download)
            for name in download.without:
                response.headers.pop(name, None)
        return response

    async def done(self, steps: Steps, request: httpx.Request) -> tuple[httpx.Response, Reply]:
        """Do ``steps``: the last response, with what they returned."""
        event, response = None, None
        try:
            while True:
                try:
                    step = steps.send(event)
                except StopIteration as end:
                    assert response is not None
                    return response, end.value
                if response is not None and isinstance(step, Submit | Send):
                    await response.aclose()
                    response = None
                response, event = await self._do(step, request, response)
        except BaseException:
            if response is not None:
                await response.aclose()
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
                body = b"".join([chunk async for chunk in response.aiter_raw()])
                return kept(response, body), reply_of(response, kept(response, body).read())
            response = await self.transport.handle_async_request(built(step, request))
        except httpx.TransportError as error:
            return response, Lost(error)
        return response, reply_of(response)

    async def aclose(self) -> None:
        await self.transport.aclose()


class AsyncBody(httpx.AsyncByteStream):
    """The same for asyncio."""

    def __init__(
        self, transport: AsyncTransport, request: httpx.Request, response: httpx.Response, part: Download
    ) -> None:
        self.transport, self.request, self.download = transport, request, part
        self.stream = response.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            error = None
            assert isinstance(self.stream, httpx.AsyncByteStream)
            try:
                async for chunk in self.stream:
                    if data := self.download.taken(chunk):
                        yield data
            except httpx.TransportError as broken:
                error = broken
            if self.download.is_over(error):
                return
            await self.stream.aclose()
            response, _ = await self.transport.done(self.download.rest(error), self.request)
            self.stream = response.stream

    async def aclose(self) -> None:
        assert isinstance(self.stream, httpx.AsyncByteStream)
        await self.stream.aclose()


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


def kept(response: httpx.Response, body: bytes) -> httpx.Response:
    """``response``, whose ``body`` has been read as it was sent, and can be read once more."""
    stream = httpx.ByteStream(body)
    return httpx.Response(response.status_code, headers=response.headers, stream=stream, extensions=response.extensions)


def reply_of(response: httpx.Response, body: bytes = b"") -> Reply:
    return Reply(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)
