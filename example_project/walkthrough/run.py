"""Runs the walkthrough of every dialect."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from . import cisco, mailru, moysklad, prefer, recording, solitude, webhooks
from .client import CheckFailed, console, heading
from .servers import servers

ADDRESSES = """
  Admin site        {base}/admin/        admin / admin
  Front page        {base}/
  Tokens            token-anna, token-ivan, token-app1, token-otto: -H "Authorization: Bearer token-anna"

  MoySklad          GET    {base}/api/remap/1.2/report/stock/bystore?async=true
  Kladana           GET    {base}/kladana/api/remap/1.2/report/stock/bystore?async=true
  Solitude          POST   {base}/generic/buyer/  with Solitude-Async: yes
  Target@Mail.Ru    POST   {base}/async_api/v2/campaigns.json
  Cisco PCCE        POST   {base}/unifiedconfig/config/calltype?async=true
  Prefer            GET    {base}/api/remap/1.2/report/dashboard/day  with Prefer: respond-async

  Press Ctrl-C to stop.
"""


def run(*, stay: bool, port: int, delay: float, products: int, record: Path | None = None) -> int:
    """Return 0 if all checks passed, else 1. Part of the first two walkthroughs is drawn into ``record`` as SVG."""
    console.record = record is not None
    heading("Starting: migrations, sample data, a web server, a worker cluster")
    with servers(port=port, delay=delay, products=products) as base:
        try:
            solitude.run(base)
            moysklad.run(base, mount="/api/remap/1.2", name="MoySklad", delay=delay)
            if record:
                recording.save(record)
            moysklad.run_errors(base, mount="/api/remap/1.2")
            moysklad.run(base, mount="/kladana/api/remap/1.2", name="Kladana", delay=delay)
            mailru.run(base)
            cisco.run(base)
            prefer.run(base, delay=delay)
            webhooks.run(base)
        except CheckFailed as error:
            console.print(f"[bold red]✗ {error}[/]")
            return 1
        heading("All checks passed")
        if stay:
            console.print(ADDRESSES.format(base=base))
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 0
