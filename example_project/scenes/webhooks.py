"""Nobody has to poll: MoySklad's webhook (seed 001), and a signed callback of the default dialect."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from standardwebhooks import Webhook

from .telling import PATIENCE, Mismatch, Teller, console, expect, title

MOUNT = "/api/remap/1.2"


def play(base: str) -> None:
    title("Webhooks: the server calls when it is done")
    client = Teller(base, "token-anna")
    with receiver() as (address, received):
        wanted = {"url": f"{address}/moysklad", "action": "PROCESSED", "entityType": "async"}
        kept = client.ask("POST", f"{MOUNT}/entity/webhook", json=wanted)
        expect("the webhook is kept", kept.status_code == 200 and kept.json()["enabled"])
        client.ask("GET", f"{MOUNT}/report/dashboard/day?async=true")
        path, headers, body = told(received)
        expect("MoySklad's: PROCESSED, with a requestId", "requestId=" in path and "PROCESSED" in body)

        secret = client.quietly("GET", "/async/callback-secret").json()["secret"]
        prefer = f'respond-async, callback;url="{address}/prefer"'
        asked = client.ask("GET", f"{MOUNT}/report/dashboard/day", headers={"Prefer": prefer})
        expect("the callback is heeded", "callback" in asked.headers["Preference-Applied"])
        path, headers, body = told(received)
        event: Any = Webhook(secret).verify(body, headers)
        expect("it is signed, and says how the call ended", event["data"]["state"] == "DONE")
        client.quietly("DELETE", f"{MOUNT}/entity/webhook/{kept.json()['id']}")


Message = tuple[str, dict[str, str], str]


def told(received: queue.Queue[Message]) -> Message:
    try:
        path, headers, body = received.get(timeout=PATIENCE)
    except queue.Empty:
        raise Mismatch(f"no webhook within {PATIENCE:g} s") from None
    console.print(f"\n[bold magenta]⇐ POST {path}[/]\n  {body}")
    return path, headers, body


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[Message]]]:
    """A server of the client's; yields its address and what arrives there."""
    received: queue.Queue[Message] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.put((self.path, dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """The scene tells what arrives."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
