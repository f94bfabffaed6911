"""Server-Sent Events as text (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterable

from .values import value

COMMENT = b":\n\n"
"""A line that clients ignore; it keeps proxies from closing an idle connection."""


@value
class ServerEvent:
    """One event of a stream."""

    name: str
    """Its type: the name under which ``EventSource`` dispatches it."""
    id: str
    """What a client that reconnects sends as ``Last-Event-ID``."""
    data: str
    """One line, without CR and LF."""


def encode(events: Iterable[ServerEvent]) -> bytes:
    """The blocks of ``events`` in a stream.

    >>> encode([ServerEvent(name="end", id="1", data="{}")])
    b'event: end\\nid: 1\\ndata: {}\\n\\n'
    """
    text = "".join(f"event: {each.name}\nid: {each.id}\ndata: {each.data}\n\n" for each in events)
    return text.encode("utf-8", "replace")


def retry(milliseconds: int) -> bytes:
    """The field that tells a client after how many milliseconds it reconnects."""
    return f"retry: {milliseconds}\n\n".encode()
