"""Draws SVG that is put into the page itself: in the page's own colour and font, legible in light and dark.

A ``Drawing`` collects shapes in user units (one unit is one CSS pixel at full width) and ``svg()`` returns the element.
"""

from __future__ import annotations

import textwrap
from html import escape

LINE = 17
"""Height of a line of text."""
HEAD = (
    '<marker id="{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker>'
)


class Drawing:
    """``name`` is unique on its page; ``alt`` says in words what the picture shows."""

    def __init__(self, name: str, alt: str, width: int) -> None:
        self.name, self.alt, self.width, self.height = name, " ".join(alt.split()), width, 0
        self.shapes: list[str] = []

    def text(self, x: float, y: float, text: str, *, anchor: str = "middle", small: bool = False) -> None:
        """``text``, whose lines are centred on ``y``."""
        lines = text.splitlines()
        top = y - (len(lines) - 1) * LINE / 2
        size = 12 if small else 14
        for number, line in enumerate(lines):
            self.shapes.append(
                f'<text x="{x:g}" y="{top + number * LINE:g}" text-anchor="{anchor}" dominant-baseline="central" '
                f'font-size="{size}" fill="currentColor">{escape(line)}</text>'
            )
        self._reach(y + len(lines) * LINE)

    def box(self, x: float, y: float, width: float, height: float, text: str, *, round: bool = False) -> None:
        """A box whose upper left corner is at ``x``, ``y``, with ``text`` in its middle."""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{height / 2 if round else 4:g}" '
            'fill="currentColor" fill-opacity="0.06" stroke="currentColor"/>'
        )
        self.text(x + width / 2, y + height / 2, text)
        self._reach(y + height)

    def path(self, path: str, *, arrow: bool = True, dashed: bool = False, faint: bool = False) -> None:
        """A line along ``path`` (SVG path data), with an arrowhead at its end."""
        more = f' marker-end="url(#{self.name}-head)"' if arrow else ""
        more += ' stroke-dasharray="5 4"' if dashed else ""
        more += ' stroke-opacity="0.4"' if faint else ""
        self.shapes.append(f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.3"{more}/>')

    def svg(self) -> str:
        """The element, as wide as its column and no wider than drawn."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height + 10:g}" role="img" '
            f'aria-label="{escape(self.alt)}" style="width: 100%; max-width: {self.width}px; height: auto; '
            f'display: block; margin: 1em 0; font-family: inherit"><defs>{HEAD.format(name=f"{self.name}-head")}</defs>'
            f"{''.join(self.shapes)}</svg>"
        )

    def _reach(self, y: float) -> None:
        self.height = max(self.height, int(y))


def wrapped(text: str, width: int) -> str:
    """``text`` in lines of at most ``width`` characters; its own line breaks stay."""
    lines = (textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
    return "\n".join(line for wrapped_lines in lines for line in wrapped_lines)
