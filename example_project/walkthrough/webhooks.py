"""Webhooks instead of polling: MoySklad's webhook, and a signed callback of the default dialect."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from standardwebhooks import Webhook

from .client import TIMEOUT, CheckFailed, PrintingClient, check, console, heading

MOUNT = "/api/remap/1.2"


def run(base: str) -> None:
    heading("Webhooks: no polling needed")
    client = PrintingClient(base, "token-anna")
    with receiver() as (address, received):
        wanted = {"url": f"{address}/moysklad", "action": "PROCESSED", "entityType": "async"}
        webhook = client.send("POST", f"{MOUNT}/entity/webhook", json=wanted)
        check("the webhook is created", webhook.status_code == 200 and webhook.json()["enabled"])
        client.send("GET", f"{MOUNT}/report/dashboard/day?async=true")
        path, _, body = next_message(received)
        check("MoySklad: PROCESSED, with a requestId", "requestId=" in path and "PROCESSED" in body)

        secret = client.send_silently("GET", "/async/callback-secret").json()["secret"]
        prefer = f'respond-async, callback;url="{address}/prefer"'
        asked = client.send("GET", f"{MOUNT}/report/dashboard/day", headers={"Prefer": prefer})
        check("the callback is accepted", "callback" in asked.headers["Preference-Applied"])
        _, headers, body = next_message(received)
        event: Any = Webhook(secret).verify(body, headers)
        check("it is signed and has the final state", event["data"]["state"] == "DONE")
        client.send_silently("DELETE", f"{MOUNT}/entity/webhook/{webhook.json()['id']}")


Message = tuple[str, dict[str, str], str]


def next_message(received: queue.Queue[Message]) -> Message:
    try:
        path, headers, body = received.get(timeout=TIMEOUT)
    except queue.Empty:
        raise CheckFailed(f"no webhook within {TIMEOUT:g} s") from None
    console.print(f"\n[bold magenta]⇐ POST {path}[/]\n  {body}")
    return path, headers, body


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[Message]]]:
    """Run the client's webhook receiver; yield its URL and a queue of the messages."""
    received: queue.Queue[Message] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.put((self.path, dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Do not log: ``next_message`` prints what arrives."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
