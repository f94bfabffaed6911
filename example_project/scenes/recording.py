"""Draws some of what was told as a picture of a terminal: the README's session."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .telling import console

SHOWN = (
    "Solitude: ",
    "202 with two polling addresses",
    "the replay is the real answer",
    "MoySklad: ",
    "202 at once",
    "61006",
    "its rows are those",
)
"""Texts of the exchanges in the picture; each exchange is shown as it was, or not at all."""
WIDTH = 112
COMMAND = "$ python3 example_project/demo.py"
REMOTE = re.compile(r"\s*(@font-face \{[^}]*\}|<!-- .*? -->)", re.DOTALL)
"""What Rich refers to elsewhere: a picture in a repository has to do without the net."""


def save(path: Path) -> None:
    """Draw what has been recorded, and record no more."""
    told = Text.from_ansi(console.export_text(styles=True))
    console.record = False
    picture = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    picture.print(COMMAND, style="bold")
    for exchange in exchanges(told):
        if any(text in exchange.plain for text in SHOWN):
            picture.print(exchange, no_wrap=True, overflow="ellipsis")
    drawing = REMOTE.sub("", picture.export_svg(title="django-asyncexchange"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawing, encoding="utf-8")


def exchanges(told: Text) -> list[Text]:
    """Requests with their answers, which an empty line precedes, and titles, which a line follows."""
    parts = [Text()]
    for line in told.split("\n"):
        if not line.plain.strip() or line.plain.endswith("─"):
            parts.append(Text())
        if line.plain.strip():
            parts[-1].append_text(line).append("\n")
    return [part for part in parts if part]
