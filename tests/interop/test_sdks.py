"""Other people's clients on our transports, unchanged; and our clients with another server that knows ``Prefer``."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import requests
import yaml
from django.core.management import call_command
from django.db import connections
from fastmcp import Client as McpClient
from fastmcp import FastMCP
from rest_framework_simplejwt.tokens import AccessToken

from django_asyncexchange.client.exceptions import TaskTimeout
from django_asyncexchange.client.httpx_transport import AsyncTransport, Transport
from django_asyncexchange.client.requests_adapter import AsyncExchangeAdapter
from django_asyncexchange.client.values import Options
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..client.proxy import SUBMIT, Fault, proxy
from ..journeys.test_journeys import free_port
from ..project.serving import wsgi_server
from ..services import until
from .calls import perform
from .notes.models import Note

MESSAGES: Any = [{"role": "user", "content": "to be written down"}]


def run(progress: Any) -> None:
    """Run what waits, as a worker does, between the 202 and the first poll."""

    def work() -> None:
        for task in AsyncTask.objects.filter(state=State.PENDING):
            perform(task.pk)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:  # where no event loop forbids to read the database
        pool.submit(work).result()


RUNNING = Options(on_progress=run)


@pytest.fixture
def token(anna):
    return str(AccessToken.for_user(anna))


@pytest.fixture
def site(transactional_db) -> Iterator[str]:
    with wsgi_server() as port:
        yield f"http://127.0.0.1:{port}"


def ran() -> tuple[int, list[str]]:
    """The number of tasks, and what they have noted."""
    return AsyncTask.objects.count(), [note.text for note in Note.objects.all()]


# openai ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def chat(site, token):
    """An SDK with these options."""

    def made(options: Options = RUNNING, **more: Any) -> openai.OpenAI:
        client = httpx.Client(transport=Transport(options))
        return openai.OpenAI(api_key=token, base_url=f"{site}/v1", http_client=client, **more)

    return made


def test_completion_of_the_openai_sdk_is_a_task(chat):
    with chat() as sdk:
        completion = sdk.chat.completions.create(model="echo", messages=MESSAGES)
    assert completion.choices[0].message.content == "to be written down"
    assert ran() == (1, ["to be written down"])


def test_stream_of_the_openai_sdk_is_a_task(chat):
    with chat() as sdk:
        words = [
            chunk.choices[0].delta.content
            for chunk in sdk.chat.completions.create(model="echo", messages=MESSAGES, stream=True)
        ]
    assert words == ["to", "be", "written", "down"]
    assert ran() == (1, ["to be written down"])


def test_completion_of_the_asynchronous_openai_sdk_is_a_task(site, token):
    async def complete() -> Any:
        client = httpx.AsyncClient(transport=AsyncTransport(RUNNING))
        async with openai.AsyncOpenAI(api_key=token, base_url=f"{site}/v1", http_client=client) as sdk:
            return await sdk.chat.completions.create(model="echo", messages=MESSAGES)

    assert asyncio.run(complete()).choices[0].message.content == "to be written down"
    assert ran() == (1, ["to be written down"])


def test_error_of_the_view_is_the_error_of_the_openai_sdk(chat):
    with chat(max_retries=0) as sdk, pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="forged").chat.completions.create(model="echo", messages=MESSAGES)


def test_timeout_of_the_task_passes_the_openai_sdk_and_is_not_repeated(chat):
    with chat(Options(timeout=0.01)) as sdk, pytest.raises(TaskTimeout):
        sdk.chat.completions.create(model="echo", messages=MESSAGES)
    assert AsyncTask.objects.count() == 1


def test_repetition_by_the_openai_sdk_finds_the_task_of_its_key(site, token):
    """The response to the call is lost, and the transport is told not to repeat anything."""
    options = Options(on_progress=run, retries=0)
    with proxy(int(site.rpartition(":")[2])) as line, httpx.Client(transport=Transport(options)) as client:
        line.faults = [Fault(SUBMIT, "before the response")]
        with openai.OpenAI(api_key=token, base_url=f"{line.url}/v1", http_client=client) as sdk:
            sdk.chat.completions.create(model="echo", messages=MESSAGES, extra_headers={"Idempotency-Key": "one"})
    assert line.steps().count(SUBMIT) == 2
    assert ran() == (1, ["to be written down"])


# FastMCP --------------------------------------------------------------------------------------------------------------


def test_tool_that_fastmcp_made_of_our_schema_is_a_task(site, token, tmp_path):
    call_command("spectacular", file=tmp_path / "schema.yml")
    schema = yaml.safe_load((tmp_path / "schema.yml").read_text())

    async def call() -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=site, transport=AsyncTransport(RUNNING), headers=headers) as client,
            McpClient(FastMCP.from_openapi(schema, client=client)) as mcp,
        ):
            return await mcp.call_tool("api_notes_create", {"text": "by a tool"})

    assert asyncio.run(call()).structured_content == {"text": "by a tool"}
    assert ran() == (1, ["by a tool"])


# rclone ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rclone() -> Iterator[str]:
    """Its remote control: it responds with 202, and names no address to poll."""
    address = f"127.0.0.1:{free_port()}"
    program = Path(sysconfig.get_path("scripts")) / "rclone"
    with subprocess.Popen([program, "rcd", "--rc-no-auth", "--rc-addr", address], stderr=subprocess.DEVNULL) as process:
        url = f"http://{address}"
        until(lambda: is_up(url))
        yield url
        process.terminate()


def is_up(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.post(f"{url}/rc/noop").status_code == 200
    return False


def with_httpx(url: str, options: Options) -> tuple[int, Any]:
    with httpx.Client(transport=Transport(options)) as client:
        response = client.post(url, json={"a": 1})
        return response.status_code, response.json()


def with_asyncio(url: str, options: Options) -> tuple[int, Any]:
    async def call() -> tuple[int, Any]:
        async with httpx.AsyncClient(transport=AsyncTransport(options)) as client:
            response = await client.post(url, json={"a": 1})
            return response.status_code, response.json()

    return asyncio.run(call())


def with_requests(url: str, options: Options) -> tuple[int, Any]:
    with requests.Session() as session:
        session.mount("http://", AsyncExchangeAdapter(options))
        response = session.post(url, json={"a": 1})
        return response.status_code, response.json()


every_client = pytest.mark.parametrize("call", [with_httpx, with_asyncio, with_requests])


@every_client
def test_202_that_names_no_task_is_the_response(rclone, call):
    status, document = call(f"{rclone}/rc/noop", Options())
    assert status == 202

    def finished() -> Any:
        job = call(f"{rclone}/job/status?jobid={document['jobid']}", Options(respond_async=False))[1]
        return job if job["finished"] else None

    assert until(finished)["output"] == {"a": 1}


@every_client
def test_without_the_preference_rclone_answers_at_once(rclone, call):
    assert call(f"{rclone}/rc/noop", Options(respond_async=False)) == (200, {"a": 1})
