"""The WSGI environment (PEP 3333): what is captured of it, and the environment of a run."""

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
from .arrival import OriginalRequest

CAPTURED_ELSEWHERE = frozenset(
    {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "CONTENT_LENGTH"}
)
"""Variables that are captured under another name."""
DERIVED = frozenset({"SCRIPT_URL", "REDIRECT_URL"})
"""Variables of Apache from which ``SCRIPT_NAME`` was derived."""
SERVER_USER = frozenset({"remote-user", "remote-ident", "auth-type"})
"""Variables about a user whom the server itself has authenticated."""


def captured(original: OriginalRequest) -> Iterator[tuple[str, str | int]]:
    """Other variables of the server, without those of this process (``runserver`` includes them)."""
    unkept = header_rules.unkept(conf.SECRET_NAMES)
    for name, value in original.meta.items():
        if name.startswith(("HTTP_", "CONTENT_", "wsgi.")) or name in CAPTURED_ELSEWHERE or name in DERIVED:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int) or os.environ.get(name) == value:
            continue
        known_as = name.removeprefix("REDIRECT_").removeprefix("HTTP_").replace("_", "-").lower()
        if known_as not in SERVER_USER and not unkept.match(known_as):
            yield name, value
    if original.meta.get("CONTENT_LENGTH"):
        yield "CONTENT_LENGTH", "0"  # the run sets the length of its body


def build(call: Request, body: IO[bytes], size: int) -> dict[str, Any]:
    """The environment for the run of ``call``. Calls of older versions have no variables of the server."""
    name, port = split_domain_port(call.host)
    environ: dict[str, Any] = {
        "SERVER_NAME": name.strip("[]"),
        "SERVER_PORT": port or ("443" if call.scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        **dict(call.environ),
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": wsgi_string(call.script_name),
        "PATH_INFO": wsgi_string(call.path),
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
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    if call.host:
        environ["HTTP_HOST"] = call.host
    if size:
        environ["CONTENT_LENGTH"] = str(size)
    return environ


def wsgi_string(text: str) -> str:
    """``text`` as WSGI represents it: UTF-8 bytes as Latin-1 (PEP 3333)."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
