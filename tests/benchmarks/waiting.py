"""Calls that are held, and clients that wait: what a held call costs, and how soon its client hears of the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from django_asyncexchange.models import Worker

from . import memory, people
from .crew import Crew
from .door import TOKEN, Door
from .figures import ROUNDS, Figure, figure, interleaved, scale
from .visitor import Visitor

UVICORN = "uvicorn --port {port} --log-level warning --factory django.core.asgi:get_asgi_application"
ON_UVICORN, ON_GUNICORN = scale(1000, 20), scale(200, 5)
GUNICORN = f"gunicorn --bind 127.0.0.1:{{port}} --threads {ON_GUNICORN + 10} --graceful-timeout 1 tests.journeys.wsgi"
AT_ONCE = "the same call at once"
RETRYING = "polls after Retry-After"
SLEEPING = {
    UVICORN: "as many calls of an asynchronous view that sleeps",
    GUNICORN: "as many calls of a view that sleeps",
}
PACE = 0.015
"""Seconds between two calls of a crowd."""


def measure() -> Iterator[Figure]:
    people.anna()
    crew = Crew()
    yield from _held(partial(crew.serving, UVICORN, BENCH_ASGI="yes"), SLEEPING[UVICORN], "uvicorn", ON_UVICORN)
    yield from _held(partial(crew.serving, GUNICORN), SLEEPING[GUNICORN], "gunicorn's threads", ON_GUNICORN)
    with crew.serving(UVICORN, BENCH_ASGI="yes") as visitor, crew.at_work():
        visitor.later("/naps/")
        yield from _delays(visitor)
        yield _quick_call()


def _quick_call() -> Figure:
    door = Door()
    contestants = {
        "ours": lambda: door.expect(200, "GET", "/patient/"),
        AT_ONCE: lambda: door.expect(200, "GET", "/works/"),
    }
    return figure(interleaved(contestants, scale(200, 5)), AT_ONCE, name="A quick call of a view with patience, idle")


# Held calls -----------------------------------------------------------------------------------------------------------


def _held(
    serving: Callable[[], contextlib.AbstractContextManager[Visitor]], sleeping: str, name: str, calls: int
) -> Iterator[Figure]:
    """What so many held calls take, beside as many that only sleep. No worker runs them."""
    Worker.objects.record_heartbeat("benchmarks")
    with serving() as visitor:
        ours = asyncio.run(_taken_by(visitor, "/held/", calls))
    with serving() as visitor:
        beside = asyncio.run(_taken_by(visitor, "/sleeps/", calls))
    for unit, what in {"MB": "Memory", "threads": "Threads", "files": "Open files"}.items():
        taken = {"ours": ours[unit], "beside": beside[unit], "ratio": ours[unit] / max(beside[unit], 1)}
        yield Figure(name=f"{what} for {calls:,} held calls, {name}", unit=unit, what=sleeping, **taken)


async def _taken_by(visitor: Visitor, target: str, calls: int) -> dict[str, float]:
    """By how much memory, threads and open files of the server grow, until so many calls wait."""
    with visitor.asked("/plain/"):
        pids = list(memory.family([visitor.pid]))
    before = _taken(pids)
    with memory.growth([visitor.pid]) as grown:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(calls):
                await stack.enter_async_context(_called(visitor.port, target))
                await asyncio.sleep(PACE)
            after = await _settled(pids)
            with visitor.asked("/plain/") as response:  # the server answers others meanwhile
                assert response.status == 200
    return {unit: after[unit] - before[unit] for unit in after} | {"MB": grown.megabytes}


async def _settled(pids: list[int]) -> dict[str, float]:
    """``_taken`` when nothing changes any more: all calls wait."""
    before: dict[str, float] = {}
    while (now := _taken(pids)) != before:
        before = now
        await asyncio.sleep(1)
    return now


def _taken(pids: list[int]) -> dict[str, float]:
    return {
        "threads": sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
        "files": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
    }


@contextlib.asynccontextmanager
async def _called(port: int, target: str) -> AsyncIterator[None]:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {TOKEN}\r\n\r\n".encode())
    await writer.drain()
    yield
    writer.close()


# Waiting clients ------------------------------------------------------------------------------------------------------


def _delays(visitor: Visitor) -> Iterator[Figure]:
    """Milliseconds from the end of a view until its client knows, the median of each round."""
    ways = {"by long poll": _long_poll, "by events": _events, RETRYING: _retrying}
    rounds = []
    for _ in range(ROUNDS):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(scale(20, 1)):
            for name, way in ways.items():
                times[name].append(way(visitor))
        rounds.append({name: statistics.median(found) for name, found in times.items()})
    for name in ways:
        if name != RETRYING:
            yield figure(rounds, RETRYING, ours=name, name=f"Hear of the end of a call, {name}", limit=50.0)


def _long_poll(visitor: Visitor) -> float:
    task = visitor.submit("/naps/")
    with visitor.asked(task, Prefer="wait=30") as response:
        known = time.time()
        assert response.status == 303
    return _since(visitor, f"{task}/result", known)


def _events(visitor: Visitor) -> float:
    task = visitor.submit("/naps/")
    with visitor.asked(f"{task}/events") as response:
        while (line := response.readline()) != b"event: end\n":
            assert line, "the stream has ended early"
        known = time.time()
    return _since(visitor, f"{task}/result", known)


def _retrying(visitor: Visitor) -> float:
    task = visitor.submit("/naps/")
    while True:
        with visitor.asked(task) as response:
            known = time.time()
            if response.status == 303:
                return _since(visitor, f"{task}/result", known)
            pause = int(response.headers["Retry-After"])
        time.sleep(pause)


def _since(visitor: Visitor, result: str, known: float) -> float:
    return 1000 * (known - json.loads(b"".join(visitor.chunks(result)))["ended"])
