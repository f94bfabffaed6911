"""``python -m tests.client.downloading KIND URL``, with headers as JSON on stdin: a download that keeps nothing.

Prints the SHA-256 of what came, and the peak memory of the process in bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import requests

from django_asyncexchange.client.httpx_transport import AsyncTransport, Transport
from django_asyncexchange.client.requests_adapter import AsyncExchangeAdapter

from ..project.apart import peak

PATIENCE = 120.0
Headers = dict[str, str]


def with_httpx(url: str, headers: Headers) -> Iterator[bytes]:
    with (
        httpx.Client(transport=Transport(), timeout=PATIENCE) as client,
        client.stream("POST", url, headers=headers) as response,
    ):
        yield from response.raise_for_status().iter_bytes()


def with_requests(url: str, headers: Headers) -> Iterator[bytes]:
    with requests.Session() as session:
        session.mount("http://", AsyncExchangeAdapter())
        response = session.post(url, headers=headers, stream=True, timeout=PATIENCE)
        response.raise_for_status()
        yield from response.iter_content(64 * 1024)


async def in_asyncio(url: str, headers: Headers) -> AsyncIterator[bytes]:
    async with (
        httpx.AsyncClient(transport=AsyncTransport(), timeout=PATIENCE) as client,
        client.stream("POST", url, headers=headers) as response,
    ):
        async for chunk in response.raise_for_status().aiter_bytes():
            yield chunk


def with_asyncio(url: str, headers: Headers) -> str:
    async def digest() -> str:
        seen = hashlib.sha256()
        async for chunk in in_asyncio(url, headers):
            seen.update(chunk)
        return seen.hexdigest()

    return asyncio.run(digest())


def digest_of(chunks: Callable[[str, Headers], Iterator[bytes]]) -> Callable[[str, Headers], str]:
    def digest(url: str, headers: Headers) -> str:
        seen = hashlib.sha256()
        for chunk in chunks(url, headers):
            seen.update(chunk)
        return seen.hexdigest()

    return digest


KINDS = {"httpx": digest_of(with_httpx), "asyncio": with_asyncio, "requests": digest_of(with_requests)}

if __name__ == "__main__":
    print(json.dumps({"sha256": KINDS[sys.argv[1]](sys.argv[2], json.load(sys.stdin)), "peak": peak()}))
