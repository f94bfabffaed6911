"""Validators of settings: each has a text for the reference, and explains what is wrong with a value and how to fix it.

>>> Integer(least=1)("4")
Traceback (most recent call last):
Mistake: '4' is no whole number.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import math
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from .values import value

Validator: TypeAlias = Callable[[Any], Any]
"""Converts a value of the settings. Raises Mistake. Its attribute ``text`` describes valid values."""

SHOWN = 80
"""Most characters of a wrong value in a message."""


class Mistake(ValueError):
    """An invalid value: what is wrong with it, and in ``hint`` what to write instead."""

    def __init__(self, wrong: str, hint: str) -> None:
        super().__init__(wrong)
        self.hint = hint


def shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


@value
class Boolean:
    text: str = "``True`` or ``False``"

    def __call__(self, given: Any) -> bool:
        if not isinstance(given, bool):
            raise Mistake(f"{shown(given)} is neither True nor False.", "Write True or False, without quotes.")
        return given


@value
class Integer:
    """A whole number from ``least`` to ``most``."""

    least: int = 0
    most: int | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        unit = f", {self.unit}" if self.unit else ""
        return f"whole number{unit}; {self._range}"

    @property
    def _range(self) -> str:
        return f"at least {self.least}" if self.most is None else f"{self.least} to {self.most}"

    def __call__(self, given: Any) -> int:
        unit = f" ({self.unit})" if self.unit else ""
        if isinstance(given, bool) or not isinstance(given, int):
            raise Mistake(f"{shown(given)} is no whole number{unit}.", f"Write a number without quotes, {self._range}.")
        if given < self.least or (self.most is not None and given > self.most):
            raise Mistake(f"{given} is out of range{unit}.", f"Write a number, {self._range}.")
        return given


@value
class Seconds:
    """A number of seconds, which may have a fraction; ``above`` excludes 0."""

    above: bool = True

    @property
    def text(self) -> str:
        return f"seconds; {self._range}"

    @property
    def _range(self) -> str:
        return "more than 0" if self.above else "at least 0"

    def __call__(self, given: Any) -> float:
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise Mistake(f"{shown(given)} is no number of seconds.", f"Write a number without quotes, {self._range}.")
        if given < 0 or (self.above and not given) or not math.isfinite(given):
            raise Mistake(f"{given} seconds are out of range.", f"Write a number of seconds, {self._range}.")
        return given


@value
class Duration:
    """A timedelta, or seconds; more than 0."""

    text: str = "seconds, or ``timedelta``; more than 0"

    def __call__(self, given: Any) -> dt.timedelta:
        example = "Write seconds, like 3600, or datetime.timedelta(hours=1)"
        if isinstance(given, dt.timedelta):
            span = given
        elif isinstance(given, bool) or not isinstance(given, int | float):
            raise Mistake(f"{shown(given)} is no duration.", f"{example}, without quotes.")
        else:
            try:
                span = dt.timedelta(seconds=given)
            except (OverflowError, ValueError):
                raise Mistake(f"{given} seconds are out of range.", f"{example}.") from None
        if span <= dt.timedelta():
            raise Mistake(f"{shown(given)} is no time at all.", f"{example}: more than 0.")
        if span > dt.timedelta(days=36500):
            raise Mistake(f"{shown(given)} is longer than a hundred years.", f"{example}.")
        return span


@value
class Text:
    """A string that matches ``pattern``; ``example`` does."""

    text: str = "text"
    pattern: str = r"[\s\S]*"
    example: str = ""

    def __call__(self, given: Any) -> str:
        if not isinstance(given, str):
            raise Mistake(f"{shown(given)} is no text.", f"Write a text{self._example}.")
        if not re.fullmatch(self.pattern, given):
            raise Mistake(
                f"{shown(given)} cannot be used here.", f"Write {self.text.replace('``', '')}{self._example}."
            )
        return given

    @property
    def _example(self) -> str:
        return f", like {self.example!r}" if self.example else ""


@value
class Choice:
    """One of several strings."""

    choices: tuple[str, ...]

    @property
    def text(self) -> str:
        return " or ".join(f'``"{choice}"``' for choice in self.choices)

    def __call__(self, given: Any) -> str:
        if not isinstance(given, str) or given not in self.choices:
            raise Mistake(f"{shown(given)} is unknown.", f"Write one of {', '.join(map(repr, self.choices))}.")
        return given


@value
class OrNone:
    """None, or what ``other`` takes."""

    other: Any

    @property
    def text(self) -> str:
        return f"``None``, or {self.other.text}"

    def __call__(self, given: Any) -> Any:
        return None if given is None else self.other(given)


@value
class ListOf:
    """A list, tuple or set of what ``each`` takes."""

    each: Any
    is_filled: bool = False

    @property
    def text(self) -> str:
        return f"list; each: {self.each.text}"

    def __call__(self, given: Any) -> tuple[Any, ...]:
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
            raise Mistake(f"{shown(given)} is no list.", f"Write a list, even of one: [{shown(given)}].")
        found = tuple(map(self.each, given))
        if self.is_filled and not found:
            raise Mistake("The list is empty.", "Write at least one entry, or remove the key.")
        return found


@value
class DictOf:
    """A dictionary from what ``key`` takes to what ``each`` takes."""

    key: Any
    each: Any

    @property
    def text(self) -> str:
        return f"dictionary; keys: {self.key.text}; values: {self.each.text}"

    def __call__(self, given: Any) -> Mapping[Any, Any]:
        if not isinstance(given, Mapping):
            raise Mistake(f"{shown(given)} is no dictionary.", "Write a dictionary: {…: …}.")
        return {self.key(key): self.each(entry) for key, entry in given.items()}


@value
class Zone:
    text: str = 'time zone, like ``"Europe/Moscow"``'

    def __call__(self, given: Any) -> str:
        try:
            return zoneinfo.ZoneInfo(given).key
        except (TypeError, AttributeError, ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            raise Mistake(
                f"{shown(given)} is no time zone that this machine knows.",
                "Write a name of the IANA database, like 'Europe/Moscow' or 'UTC'; without them, pip install tzdata.",
            ) from None


@value
class Network:
    text: str = 'network, like ``"10.1.0.0/16"``'

    def __call__(self, given: Any) -> str:
        try:
            return str(ipaddress.ip_network(given))
        except (ValueError, TypeError) as error:
            raise Mistake(f"{shown(given)} is no network: {error}.", f"Write {_network_of(given)}.") from None


def _network_of(given: Any) -> str:
    """The network of ``given`` where that has host bits set, otherwise an example."""
    try:
        return repr(str(ipaddress.ip_network(given, strict=False)))
    except (ValueError, TypeError):
        return "one like '10.1.0.0/16' or '127.0.0.1'"


@value
class FernetKey:
    text: str = "key as ``cryptography.fernet.Fernet.generate_key()`` makes it"

    def __call__(self, given: Any) -> str:
        text = given.decode("ascii", "replace") if isinstance(given, bytes) else given
        try:
            if len(base64.urlsafe_b64decode(text)) == 32:
                return str(text)
        except (binascii.Error, ValueError, TypeError):
            pass
        raise Mistake(  # without the value, which may be the key of something else
            "One of them is no Fernet key, 32 bytes in URL-safe base64.",
            'Make one: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
        )


@value
class Url:
    text: str = "URL with a host, or nothing"

    def __call__(self, given: Any) -> str:
        if given == "":
            return ""
        try:
            parts = urlsplit(given)
            _ = parts.port  # read, to be checked
            if isinstance(given, str) and parts.scheme in ("http", "https") and parts.hostname:
                return given
        except (ValueError, AttributeError, TypeError):
            pass
        raise Mistake(f"{shown(given)} is no URL with a host.", "Write one like 'http://proxy.example:3128'.")


def like(default: Any) -> Validator:
    """The validator for the type of ``default``: for options that a project's own dialect adds."""
    kinds: tuple[tuple[type, Any], ...] = (
        (bool, Boolean()),
        (int, Integer()),
        (float, Seconds(above=False)),
        (dt.timedelta, Duration()),
        (str, Text()),
        (tuple, ListOf(each=Anything())),
    )
    return next((kind for cls, kind in kinds if isinstance(default, cls)), Anything())


@value
class Anything:
    text: str = "anything"

    def __call__(self, given: Any) -> Any:
        return given


@value
class Mounts:
    """The entries of ``DIALECTS``, whose contents ``conf.mounts`` validates."""

    text: str = "dictionary of mounts"

    def __call__(self, given: Any) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            raise Mistake(f"{shown(given)} is no dictionary.", "Write one of options by name: {'moysklad': {…}}.")
        return given
