"""The whole play: every scene on one stage; ends with 0 if everything was as promised."""

from __future__ import annotations

import contextlib
import threading

from . import remap, solitude
from .stage import stage
from .telling import Mismatch, console, title

LOGINS = """
  Admin site        {base}/admin/        admin / admin
  What there is     {base}/
  MoySklad          curl -i -H "Authorization: Bearer token-anna" "{base}/api/remap/1.2/report/stock/bystore?async=true"
  Solitude          curl -i -H "Authorization: Bearer token-anna" -H "Solitude-Async: yes" -d uuid=me {base}/generic/buyer/

  Ctrl-C ends it.
"""


def play(*, stay: bool, port: int, delay: float, products: int) -> int:
    """0 = all promises held; 1 = one did not."""
    title("Starting: migrations, sample data, a web server, a worker cluster")
    with stage(port=port, delay=delay, products=products) as base:
        try:
            solitude.play(base)
            remap.play(base, mount="/api/remap/1.2", name="MoySklad", delay=delay)
            remap.play_errors(base, mount="/api/remap/1.2")
            remap.play(base, mount="/kladana/api/remap/1.2", name="Kladana", delay=delay)
        except Mismatch as error:
            console.print(f"[bold red]✗ {error}[/]")
            return 1
        title("Everything came back as promised")
        if stay:
            console.print(LOGINS.format(base=base))
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 0
