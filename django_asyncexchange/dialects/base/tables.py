"""What the tables of a dialect are made of: triggers, addresses, wordings."""

from __future__ import annotations

import enum

from ...protocol.values import value


class Trigger(enum.IntEnum):
    """By what a dialect recognises a call. The lower one wins where a call carries several."""

    PATH = 1
    HEADER = 2
    QUERY = 3
    PREFERENCE = 4


@value
class Route:
    """One endpoint: its method and its path below the mount's prefix; ``{id}`` stands for the task's id."""

    method: str
    path: str
    verb: str = ""
    """The verb that answers, where it is not the route's own name in ``Dialect.ROUTES``."""
    public: bool = False
    """Needs no credentials, because the address itself proves the right (a signed link)."""


@value
class Wire:
    """How a dialect answers an error."""

    code: int | str
    """The dialect's own code."""
    status: int
    """The HTTP status."""
    text: str = ""
    """The dialect's own text in English, with ``%(detail)s`` placeholders; ``""`` = the exception's ``message``."""
