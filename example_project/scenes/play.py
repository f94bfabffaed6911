"""The whole play: every scene on one stage; ends with 0 if everything was as promised."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from . import calltypes, campaigns, prefer, recording, remap, solitude, webhooks
from .stage import stage
from .telling import Mismatch, console, title

LOGINS = """
  Admin site        {base}/admin/        admin / admin
  What there is     {base}/
  Tokens            token-anna, token-ivan, token-app1, token-otto: -H "Authorization: Bearer token-anna"

  MoySklad          GET    {base}/api/remap/1.2/report/stock/bystore?async=true
  Kladana           GET    {base}/kladana/api/remap/1.2/report/stock/bystore?async=true
  Solitude          POST   {base}/generic/buyer/  with Solitude-Async: yes
  Target@Mail.Ru    POST   {base}/async_api/v2/campaigns.json
  Cisco PCCE        POST   {base}/unifiedconfig/config/calltype?async=true
  Prefer            GET    {base}/api/remap/1.2/report/dashboard/day  with Prefer: respond-async

  Ctrl-C ends it.
"""


def play(*, stay: bool, port: int, delay: float, products: int, record: Path | None = None) -> int:
    """0 = all promises held; 1 = one did not. The best of the first two scenes is drawn into ``record``."""
    console.record = record is not None
    title("Starting: migrations, sample data, a web server, a worker cluster")
    with stage(port=port, delay=delay, products=products) as base:
        try:
            solitude.play(base)
            remap.play(base, mount="/api/remap/1.2", name="MoySklad", delay=delay)
            if record:
                recording.save(record)
            remap.play_errors(base, mount="/api/remap/1.2")
            remap.play(base, mount="/kladana/api/remap/1.2", name="Kladana", delay=delay)
            campaigns.play(base)
            calltypes.play(base)
            prefer.play(base, delay=delay)
            webhooks.play(base)
        except Mismatch as error:
            console.print(f"[bold red]✗ {error}[/]")
            return 1
        title("Everything came back as promised")
        if stay:
            console.print(LOGINS.format(base=base))
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 0
