"""Draws part of the printed output as an SVG of a terminal, for the README."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .client import console

SHOWN = (
    "Solitude: ",
    "202 with two polling URLs",
    "the replay is the real response",
    "MoySklad: ",
    "202 at once",
    "61006",
    "its rows equal those",
)
"""Texts that select the exchanges in the picture; each is shown in full or not at all."""
WIDTH = 112
COMMAND = "$ python3 example_project/demo.py"
REMOTE = re.compile(r"\s*(@font-face \{[^}]*\}|<!-- .*? -->)", re.DOTALL)
"""Fonts and comments that refer to other sites: the picture has to work offline."""


def save(path: Path) -> None:
    """Draw what was recorded, and stop recording."""
    output = Text.from_ansi(console.export_text(styles=True))
    console.record = False
    picture = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    picture.print(COMMAND, style="bold")
    for exchange in exchanges(output):
        if any(text in exchange.plain for text in SHOWN):
            picture.print(exchange, no_wrap=True, overflow="ellipsis")
    drawing = REMOTE.sub("", picture.export_svg(title="django-asyncexchange"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawing, encoding="utf-8")


def exchanges(output: Text) -> list[Text]:
    """Split the output into headings and exchanges (a request and its response)."""
    parts = [Text()]
    for line in output.split("\n"):
        if not line.plain.strip() or line.plain.endswith("─"):
            parts.append(Text())
        if line.plain.strip():
            parts[-1].append_text(line).append("\n")
    return [part for part in parts if part]
