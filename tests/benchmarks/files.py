"""A web server that only sends one file: ``BENCH_FILE``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = os.environ["BENCH_FILE"]
    start_response(
        "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(os.stat(path).st_size))]
    )
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open(path, "rb"))  # noqa: SIM115  (the server closes it)
    return wrapped
