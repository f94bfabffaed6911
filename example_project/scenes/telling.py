"""Speaks HTTP and tells the reader about it: every request and answer as one would want to see them."""

from __future__ import annotations

import json
import time
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

TOLD = (
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
LINES = 18
PATIENCE = 120.0

console = Console(soft_wrap=True, highlight=False)


class Mismatch(Exception):
    """What came back is not what was promised."""


class Teller:
    """One client: its address, its token, and everything it says printed."""

    def __init__(self, base: str, token: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send, print both sides, and return the answer. Redirects are not followed: they are part of the story."""
        answer = self.quietly(method, path, **options)
        console.print(f"\n[bold cyan]→ {method} {escape(answer.request.path_url)}[/]")
        for name, text in (options.get("headers") or {}).items():
            console.print(f"  [cyan]{name}: {escape(text)}[/]")
        if options.get("json") is not None:
            console.print(f"  {escape(json.dumps(options['json'], ensure_ascii=False))}")
        self.tell(answer)
        return answer

    def quietly(self, method: str, path: str, **options: Any) -> requests.Response:
        """The same without a word."""
        url = path if path.startswith("http") else self.base + path
        return self.session.request(method, url, allow_redirects=False, timeout=60, **options)

    def tell(self, answer: requests.Response) -> None:
        colour = "green" if answer.status_code < 400 else "yellow"
        console.print(f"[bold {colour}]← {answer.status_code} {escape(answer.reason)}[/]")
        for name in TOLD:
            if name in answer.headers:
                console.print(f"  [dim]{name}:[/] {escape(answer.headers[name])}")
        if answer.content:
            console.print(escape(excerpt(answer)))

    def wait(self, path: str, story: str, seconds: float, is_over: Any) -> requests.Response:
        """Poll ``path`` until ``is_over(answer)``, with a bar that fills in about ``seconds``."""
        began = time.monotonic()
        columns = TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=not console.is_terminal, disable=console.record) as bars:
            bar = bars.add_task(story, total=seconds)
            while time.monotonic() < began + PATIENCE:
                answer = self.quietly("GET", path)
                bars.update(bar, completed=min(time.monotonic() - began, seconds * 0.97), description=story)
                if is_over(answer):
                    bars.update(bar, completed=seconds)
                    return answer
                time.sleep(0.1)
        raise Mismatch(f"{path} is not finished after {PATIENCE:g} s")


def excerpt(answer: requests.Response) -> str:
    """The first lines of the body, JSON laid out."""
    try:
        text = json.dumps(answer.json(), ensure_ascii=False, indent=2)
    except ValueError:
        text = answer.text
    lines = text.splitlines()
    rest = f"\n  … {len(lines) - LINES:,} more lines" if len(lines) > LINES else ""
    return "\n".join(f"  {line[:110]}" for line in lines[:LINES]) + rest


def expect(what: str, condition: bool) -> None:
    """Say that ``what`` holds, or stop the play."""
    if not condition:
        raise Mismatch(what)
    console.print(f"  [green]✓[/] {escape(what)}")


def title(text: str) -> None:
    console.rule(f"[bold]{escape(text)}[/]", align="left")
