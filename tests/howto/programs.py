"""Programs that tests of the how-to's start: nginx, and where others are."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..conftest import unavailable
from ..newcomer import PATIENCE, PAUSE
from ..services import until

NGINX = """
daemon off;
master_process off;
pid {home}/pid;
error_log {home}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/1; proxy_temp_path {home}/2;
    fastcgi_temp_path {home}/3; uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
    server {{
        listen 127.0.0.1:{port}{ssl};
        {server}
    }}
}}
"""


def program(name: str) -> str:
    """The path of ``name``; Debian has some for administrators in /usr/sbin."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or unavailable(f"{name} is not installed")


@contextlib.contextmanager
def nginx(home: Path, port: int, server: str, ssl: str = "") -> Iterator[None]:
    """Run nginx in ``home`` with the directives ``server``; ``ssl`` is the path of a certificate with its key."""
    if ssl:
        server += f"ssl_certificate {ssl}; ssl_certificate_key {ssl};"
    text = NGINX.format(home=home, port=port, ssl=" ssl" if ssl else "", server=server)
    (home / "conf").write_text(text, encoding="utf-8")
    with subprocess.Popen([program("nginx"), "-p", home, "-c", home / "conf", "-e", home / "errors"]) as process:
        try:
            until(lambda: process.poll() is not None or listens(port), PATIENCE, PAUSE)
            assert process.poll() is None, (home / "errors").read_text()
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
