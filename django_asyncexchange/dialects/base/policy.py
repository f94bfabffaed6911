"""The numbers of a dialect: limits, retention, time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from ...protocol.states import State
from ...protocol.validators import (
    Boolean,
    DictOf,
    Duration,
    Integer,
    ListOf,
    OrNone,
    Text,
    Validator,
    Zone,
    like,
)

LANGUAGE = r"([A-Za-z]{2,3}(-[A-Za-z0-9]+)*)?"
COUNT_OR_NONE = OrNone(other=Integer(least=1))
VIEW = Text(
    text="name of a URL, or a pattern for paths that begins with a slash",
    pattern=r"/.*|[^/*?\[\]\s]+",
    example="/api/reports/*",
)
"""One of the views that may be called asynchronously."""
PATH = Text(text="nothing, or a path that begins with a slash", pattern=r"(/[^/?#\s]+)*/?", example="/api")
"""Where a mount, or what it stands for, lies."""


def option(default: Any, validator: Validator) -> Any:
    """A field of a policy with what it takes, for classes that override its default too."""
    return dataclasses.field(default=default, metadata={"validator": validator})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of a dialect; each can be overridden per mount (``CAPACITY`` for ``capacity``, and so on)."""

    capacity: int | None = option(None, COUNT_OR_NONE)
    """Unfinished tasks that an account may have."""
    retention: dt.timedelta = option(dt.timedelta(hours=24), Duration())
    """How long the answer of a successful call is kept."""
    error_retention: dt.timedelta = option(dt.timedelta(hours=24), Duration())
    """How long the answer of a failed call is kept."""
    window: dt.timedelta = option(dt.timedelta(days=7), Duration())
    """How long a finished task is known, and how far back a list goes."""
    run_limit: dt.timedelta = option(dt.timedelta(minutes=5), Duration())
    """A run that takes longer ends in ``ERROR`` with the reason ``run_timeout``."""
    link_lifetime: dt.timedelta = option(dt.timedelta(minutes=5), Duration())
    """How long a signed download link works."""
    time_zone: str = option("UTC", Zone())
    """Zone of dates that are written without an offset."""
    language: str = option("", Text(text="a language's code, or nothing", pattern=LANGUAGE, example="ru"))
    """Language of messages where the client has no preference."""
    attempts: int = option(3, Integer(least=1))
    """How often a safe call (GET, HEAD, OPTIONS) is run in all, if its worker dies. Others are never run again."""
    share: int = option(8, Integer(least=1))
    """Unfinished tasks of one account that the workers are given at a time. Its others wait their turn, so that no
    account waits behind another's flood. A worker that comes to one of them goes on with those that wait for it, if
    they are short, for 20 milliseconds.
    """
    rate: int | None = option(None, COUNT_OR_NONE)
    """Calls that an account may submit within a minute. More are answered like a throttled call: 429 with
    ``Retry-After``.
    """
    stored_bytes: int | None = option(None, OrNone(other=Integer(least=1, unit="bytes")))
    """Bytes of requests and answers that may be kept for an account. Above that its calls are refused like too many
    unfinished ones, until answers have passed their deletion date and were pruned.
    """
    queue_limit: dt.timedelta | None = option(None, OrNone(other=Duration()))
    """A task that waits longer never starts: it ends in ``ERROR`` with the reason ``queue_timeout``."""
    shared_capacity: bool = option(False, Boolean())
    """Whether ``CAPACITY`` counts the tasks of all accounts together."""
    webhooks: int = option(10, Integer())
    """Webhooks that an account may have."""
    delivery: str = option("signed", Text(text="name of delivery rules, the dialect's own or a built-in dialect's"))
    """The rules by which webhooks and callbacks are delivered. See :doc:`/howto/webhooks`."""
    require_https: bool = option(True, Boolean())
    """Whether ``WEBHOOK_REQUIRE_HTTPS`` applies to this mount."""
    texts: Mapping[str, str] = dataclasses.field(
        default_factory=dict,
        metadata={"validator": DictOf(key=Text(text="error code", pattern=r".+", example="61002"), each=Text())},
    )
    """Other texts for errors, by their code on this wire: ``{"61002": "Please wait for your other reports."}``."""
    views: tuple[str, ...] = option((), ListOf(each=VIEW))
    """More views for this mount alone."""

    def retention_of(self, state: State) -> dt.timedelta:
        """How long the stored answer of a task in the final ``state`` is kept."""
        return self.retention if state is State.DONE else self.error_retention

    @classmethod
    def validator(cls, name: str) -> Validator:
        """What the option ``name`` takes: as it was declared, else by the kind of its default."""
        for each in cls.__mro__:
            field = vars(each).get("__dataclass_fields__", {}).get(name)
            if field is not None and "validator" in field.metadata:
                found: Validator = field.metadata["validator"]
                return found
        return like(cls.__dataclass_fields__[name].default)
