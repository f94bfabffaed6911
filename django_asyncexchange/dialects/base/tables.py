"""The entries of a dialect's tables: triggers, routes, errors."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Literal

from ...protocol.values import value

Schema = Mapping[str, Any]
"""A JSON Schema, as OpenAPI 3.1 has it."""


class Trigger(enum.IntEnum):
    """What marks a call as asynchronous. The lower one wins where a call has several."""

    PATH = 1
    HEADER = 2
    QUERY = 3
    PREFERENCE = 4


@value
class Route:
    """One endpoint: its method and its path below the mount's prefix, with ``{id}`` for the task's id."""

    method: str
    path: str
    verb: str = ""
    """The verb, where it differs from the route's name in ``Dialect.ROUTES``."""
    public: bool = False
    """Whether no credentials are needed, because the URL is signed."""


@value
class Wire:
    """How a dialect answers an error."""

    code: int | str
    """The dialect's own code."""
    status: int
    """The HTTP status."""
    text: str = ""
    """The dialect's own text in English, with ``%(detail)s`` placeholders; ``""`` = the exception's ``message``."""


@value
class Parameter:
    """A query parameter or request header in the dialect's OpenAPI document."""

    name: str
    place: Literal["query", "header"] = "query"
    description: str
    schema: Schema
    example: str | None = None
