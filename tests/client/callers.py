"""The kinds of clients: each makes one call, and returns (status, headers, body)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import requests
from django.db import connections

from django_asyncexchange.client.httpx_transport import AsyncTransport, Transport
from django_asyncexchange.client.requests_adapter import AsyncExchangeAdapter
from django_asyncexchange.client.values import Options, Progress

Answer = tuple[int, Mapping[str, str], bytes]
Caller = Callable[[str, str, dict[str, str], Options], Answer]
PATIENCE = 60.0


def httpx_call(method: str, url: str, headers: dict[str, str], options: Options) -> Answer:
    with httpx.Client(transport=Transport(options), timeout=PATIENCE) as client:
        response = client.request(method, url, headers=headers)
        return response.status_code, response.headers, response.content


def httpx_stream(method: str, url: str, headers: dict[str, str], options: Options) -> Answer:
    with (
        httpx.Client(transport=Transport(options), timeout=PATIENCE) as client,
        client.stream(method, url, headers=headers) as response,
    ):
        return response.status_code, response.headers, b"".join(response.iter_raw())


def asyncio_call(method: str, url: str, headers: dict[str, str], options: Options) -> Answer:
    async def call() -> Answer:
        async with httpx.AsyncClient(transport=AsyncTransport(options), timeout=PATIENCE) as client:
            response = await client.request(method, url, headers=headers)
            return response.status_code, response.headers, response.content

    return asyncio.run(call())


def requests_call(method: str, url: str, headers: dict[str, str], options: Options, stream: bool = False) -> Answer:
    with requests.Session() as session:
        session.mount("http://", AsyncExchangeAdapter(options))
        response: Any = session.request(method, url, headers=headers, stream=stream, timeout=PATIENCE)
        body = b"".join(response.iter_content(10_000)) if stream else response.content
        return response.status_code, response.headers, body


def requests_stream(method: str, url: str, headers: dict[str, str], options: Options) -> Answer:
    return requests_call(method, url, headers, options, stream=True)


every_client = pytest.mark.parametrize("call", [httpx_call, asyncio_call, requests_call])
every_reader = pytest.mark.parametrize("call", [httpx_call, httpx_stream, asyncio_call, requests_call, requests_stream])
NOT_SUBMITTED = (httpx.TransportError, requests.ConnectionError)


def once(state: str, act: Callable[[], object]) -> Callable[[Progress], None]:
    """For ``on_progress``: act in a thread, where an event loop does not forbid it, the first time in ``state``."""
    acted = []

    def work() -> None:
        try:
            act()
        finally:
            connections.close_all()

    def on_progress(progress: Progress) -> None:
        if progress.state == state and not acted:
            acted.append(True)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(work).result()

    return on_progress
