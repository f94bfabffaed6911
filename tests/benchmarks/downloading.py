"""A response of a gigabyte: streamed by a worker, then fetched, beside the same file from the same web server."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.conf import settings

from django_asyncexchange.models import Body

from . import memory, people
from .crew import Crew
from .figures import ROUNDS, Figure, figure, scale
from .site import MB

MEGABYTES = scale(1024, 16)
FILE = "the same server with the file, by wsgi.file_wrapper"
AT_ONCE = "the same view at once, in the web server"
SERVER = "waitress --listen 127.0.0.1:{port} tests.benchmarks.files:application"


def measure() -> Iterator[Figure]:
    people.anna()
    crew = Crew()
    with crew.serving() as visitor, crew.at_work() as workers:
        for _ in range(10):
            visitor.later("/works/")
        with memory.growth(workers) as written:
            result = visitor.later(f"/streams/{MEGABYTES}/")
        with memory.growth([visitor.pid]) as fetched:
            assert sum(map(len, visitor.chunks(result))) == MEGABYTES * MB
        body = Body.objects.get(size=MEGABYTES * MB)
        file = str(settings.HOME / "bodies" / body.name)
        with crew.serving(SERVER, BENCH_FILE=file) as other:
            rounds = []
            for _ in range(ROUNDS):
                rates = {}
                for name, chunks in {"ours": visitor.chunks(result), FILE: other.chunks("/")}.items():
                    began = time.monotonic()
                    assert sum(map(len, chunks)) == MEGABYTES * MB, name
                    rates[name] = MEGABYTES / (time.monotonic() - began)
                rounds.append(rates)
        with memory.growth([visitor.pid]) as twin:
            assert sum(map(len, visitor.chunks(f"/streams/{MEGABYTES}/"))) == MEGABYTES * MB
    size = f"{MEGABYTES:,} MB"
    yield figure(rounds, FILE, name=f"Download {size}", unit="MB/s", target=0.8, more_is_better=True)
    yield memory.figure(f"the worker that writes {size}", written, twin, AT_ONCE)
    yield memory.figure(f"the web server that sends {size}", fetched, twin, AT_ONCE)
