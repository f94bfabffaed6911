"""HTTP client that prints every request and response, and checks of the responses."""

from __future__ import annotations

import json
import time
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

SHOWN_HEADERS = (
    "Location",
    "Content-Location",
    "Operation-Location",
    "Retry-After",
    "Preference-Applied",
    "Idempotency-Replayed",
    "AsyncResult",
    "Solitude-Async",
    "X-RateLimit-Limit",
    "Content-Type",
    "Content-Disposition",
)
MAX_LINES = 18
"""Lines of a body that are printed, at most."""
TIMEOUT = 120.0
"""Seconds that a call or a webhook may take."""

console = Console(soft_wrap=True, highlight=False)


class CheckFailed(Exception):
    """A response is not as expected."""


class PrintingClient:
    """A client with a base URL and a token."""

    def __init__(self, base: str, token: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, print it and the response, and return the response. Redirects are not followed."""
        response = self.send_silently(method, path, **options)
        console.print(f"\n[bold cyan]→ {method} {escape(response.request.path_url)}[/]")
        for name, text in (options.get("headers") or {}).items():
            console.print(f"  [cyan]{name}: {escape(text)}[/]")
        if options.get("json") is not None:
            console.print(f"  {escape(json.dumps(options['json'], ensure_ascii=False))}")
        self.print_response(response)
        return response

    def send_silently(self, method: str, path: str, **options: Any) -> requests.Response:
        """``send`` without printing."""
        url = path if path.startswith("http") else self.base + path
        return self.session.request(method, url, allow_redirects=False, timeout=60, **options)

    def print_response(self, response: requests.Response) -> None:
        colour = "green" if response.status_code < 400 else "yellow"
        console.print(f"[bold {colour}]← {response.status_code} {escape(response.reason)}[/]")
        for name in SHOWN_HEADERS:
            if name in response.headers:
                console.print(f"  [dim]{name}:[/] {escape(response.headers[name])}")
        if response.content:
            console.print(escape(excerpt(response)))

    def wait(self, path: str, label: str, seconds: float, is_over: Any) -> requests.Response:
        """Poll ``path`` until ``is_over(response)``. The progress bar fills in about ``seconds``."""
        began = time.monotonic()
        columns = TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=not console.is_terminal, disable=console.record) as bars:
            bar = bars.add_task(label, total=seconds)
            while time.monotonic() < began + TIMEOUT:
                response = self.send_silently("GET", path)
                bars.update(bar, completed=min(time.monotonic() - began, seconds * 0.97), description=label)
                if is_over(response):
                    bars.update(bar, completed=seconds)
                    return response
                time.sleep(0.1)
        raise CheckFailed(f"{path} is not finished after {TIMEOUT:g} s")


def excerpt(response: requests.Response) -> str:
    """The first lines of the body; JSON is indented."""
    try:
        text = json.dumps(response.json(), ensure_ascii=False, indent=2)
    except ValueError:
        text = response.text
    lines = text.splitlines()
    rest = f"\n  … {len(lines) - MAX_LINES:,} more lines" if len(lines) > MAX_LINES else ""
    return "\n".join(f"  {line[:110]}" for line in lines[:MAX_LINES]) + rest


def check(fact: str, condition: bool) -> None:
    """Print ``fact`` if ``condition`` is true, otherwise raise CheckFailed."""
    if not condition:
        raise CheckFailed(fact)
    console.print(f"  [green]✓[/] {escape(fact)}")


def heading(text: str) -> None:
    console.rule(f"[bold]{escape(text)}[/]", align="left")
