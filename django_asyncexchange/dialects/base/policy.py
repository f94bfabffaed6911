"""The options of a mount: limits, retention, time, language."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from ...protocol.states import State
from ...protocol.validators import (
    Boolean,
    Choice,
    DictOf,
    Duration,
    Integer,
    ListOf,
    OrNone,
    Seconds,
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
"""An entry of ``VIEWS``: which views may be called asynchronously."""
PATH = Text(text="nothing, or a path that begins with a slash", pattern=r"(/[^/?#\s]+)*/?", example="/api")
"""A URL prefix."""


def option(default: Any, validator: Validator) -> Any:
    """A field of a policy with its validator, which also applies to subclasses that override the default."""
    return dataclasses.field(default=default, metadata={"validator": validator})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Options of a mount and a dialect's defaults for them: ``capacity`` is the option ``CAPACITY``, and so on."""

    capacity: int | None = option(None, COUNT_OR_NONE)
    """Unfinished tasks that an account may have; ``None`` is no limit."""
    retention: dt.timedelta = option(dt.timedelta(hours=24), Duration())
    """How long the result of a successful call is kept."""
    error_retention: dt.timedelta = option(dt.timedelta(hours=24), Duration())
    """How long the result of a failed call is kept."""
    max_retention: dt.timedelta | None = option(None, OrNone(other=Duration()))
    """How long after the end of a task its client may have the result kept, where the dialect has a request for that:
    PATCH in *prefer*. ``None`` = clients cannot change the deletion date.
    """
    window: dt.timedelta = option(dt.timedelta(days=7), Duration())
    """How long a finished task is kept and listed."""
    run_limit: dt.timedelta = option(dt.timedelta(minutes=5), Duration())
    """A run that takes longer ends in ``ERROR`` with the reason ``run_timeout``."""
    link_lifetime: dt.timedelta = option(dt.timedelta(minutes=5), Duration())
    """How long a signed download link is valid."""
    time_zone: str = option("UTC", Zone())
    """Time zone of dates without an offset."""
    language: str = option("", Text(text="a language's code, or nothing", pattern=LANGUAGE, example="ru"))
    """Language of messages for clients that have no preference."""
    attempts: int = option(3, Integer(least=1))
    """Most attempts of a safe call (GET, HEAD, OPTIONS) whose worker dies. Other calls are never retried."""
    share: int = option(8, Integer(least=1))
    """Tasks of one account that are ready or running at a time. Its others wait, so that no account waits behind
    another's backlog.
    """
    rate: int | None = option(None, COUNT_OR_NONE)
    """Calls that an account may submit within a minute; further ones are refused as throttled: 429 with
    ``Retry-After``.
    """
    stored_bytes: int | None = option(None, OrNone(other=Integer(least=1, unit="bytes")))
    """Bytes of requests and results that may be stored for an account. Above that its calls are refused as those
    above ``CAPACITY`` are, until expired results have been pruned.
    """
    queue_limit: dt.timedelta | None = option(None, OrNone(other=Duration()))
    """A task that is queued for longer does not start: it ends in ``ERROR`` with the reason ``queue_timeout``."""
    shared_capacity: bool = option(False, Boolean())
    """Whether ``CAPACITY`` counts the tasks of all accounts together."""
    webhooks: int = option(10, Integer())
    """Webhooks that an account may have."""
    delivery: str = option("signed", Text(text="name of delivery rules, the dialect's own or a built-in dialect's"))
    """The rules for delivering webhooks and callbacks. See :doc:`/howto/webhooks`."""
    require_https: bool = option(True, Boolean())
    """Whether ``WEBHOOK_REQUIRE_HTTPS`` applies to this mount."""
    texts: Mapping[str, str] = dataclasses.field(
        default_factory=dict,
        metadata={"validator": DictOf(key=Text(text="error code", pattern=r".+", example="61002"), each=Text())},
    )
    """Custom texts of errors, by the dialect's code: ``{"61002": "Please wait for your other reports."}``."""
    patience: float | None = option(None, OrNone(other=Seconds(above=False)))
    """Seconds for which a call of a view without a trigger is held; ``None`` is the setting ``PATIENCE``. Only where
    the trigger is a preference. See :doc:`/howto/patience`.
    """
    after_patience: str = option("auto", Choice(choices=("auto", "redirect", "accepted")))
    """How a call is answered that takes longer than that: ``"redirect"`` is 303 to its status, ``"accepted"`` is 202,
    and ``"auto"`` is 303 for GET, HEAD and the forms of browsers.
    """
    views: tuple[str, ...] = option((), ListOf(each=VIEW))
    """Further views for this mount only."""

    def retention_of(self, state: State) -> dt.timedelta:
        """How long the result of a task in the final ``state`` is kept."""
        return self.retention if state is State.DONE else self.error_retention

    @classmethod
    def validator(cls, name: str) -> Validator:
        """The validator of the option ``name``: as declared, otherwise by the type of its default."""
        for each in cls.__mro__:
            field = vars(each).get("__dataclass_fields__", {}).get(name)
            if field is not None and "validator" in field.metadata:
                found: Validator = field.metadata["validator"]
                return found
        return like(cls.__dataclass_fields__[name].default)
