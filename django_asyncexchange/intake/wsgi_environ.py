"""A server's environment (PEP 3333): what is kept of it with a call, and what a run is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import IO, Any

from django.http.request import split_domain_port

from ..conf import conf
from ..protocol import header_rules
from ..protocol.values import Request
from . import arrival
from .arrival import Arrival

ELSEWHERE = frozenset({"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "CONTENT_LENGTH"})
"""What a server says of a call that is kept under another name."""
MADE_OF = frozenset({"SCRIPT_URL", "REDIRECT_URL"})
"""What Apache says of an address, and ``SCRIPT_NAME`` was made of."""
UNSEEN = frozenset({"remote-user", "remote-ident", "auth-type"})
"""What a server says of a user whom it has authenticated itself."""


def said(came: Arrival) -> Iterator[tuple[str, str | int]]:
    """What the server says besides, but for what this process was started with (``runserver`` repeats that)."""
    unkept = header_rules.unkept(conf.SECRET_NAMES)
    for name, said in came.meta.items():
        if name.startswith(("HTTP_", "CONTENT_", "wsgi.")) or name in ELSEWHERE or name in MADE_OF:
            continue
        if isinstance(said, bool) or not isinstance(said, str | int) or os.environ.get(name) == said:
            continue
        known_as = name.removeprefix("REDIRECT_").removeprefix("HTTP_").replace("_", "-").lower()
        if known_as not in UNSEEN and not unkept.match(known_as):
            yield name, said
    if came.meta.get("CONTENT_LENGTH"):
        yield "CONTENT_LENGTH", "0"  # there was one: the body says which


def made(call: Request, body: IO[bytes], size: int) -> dict[str, Any]:
    """WSGI's environment (PEP 3333). What the server said is missing in calls of an older version."""
    name, port = split_domain_port(call.host)
    made: dict[str, Any] = {
        "SERVER_NAME": name.strip("[]"),
        "SERVER_PORT": port or ("443" if call.scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        **dict(call.environ),
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": latin(call.script_name),
        "PATH_INFO": latin(call.path),
        "QUERY_STRING": call.query,
        "REMOTE_ADDR": call.remote_addr,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": call.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        arrival.KEY: None,
    }
    for header, text in call.headers:
        key = header.upper().replace("-", "_")
        made[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    if call.host:
        made["HTTP_HOST"] = call.host
    if size:
        made["CONTENT_LENGTH"] = str(size)
    return made


def latin(text: str) -> str:
    """``text`` as WSGI spells it: UTF-8 bytes in a Latin-1 string (PEP 3333)."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
