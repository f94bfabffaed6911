"""Turns the entries of ``DIALECTS`` into dialect instances, or into problems."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..dialects.base import DeliveryRules, Dialect
from ..dialects.base.policy import PATH
from ..protocol.validators import Mistake, Text, shown
from ..protocol.values import value
from . import dotted_paths

BUILT_IN: Mapping[str, str] = {
    name: f"django_asyncexchange.dialects.{name}.{cls}"
    for name, cls in {
        "prefer": "Prefer",
        "solitude": "Solitude",
        "moysklad": "MoySklad",
        "kladana": "Kladana",
        "mailru": "MailRu",
        "cisco": "Cisco",
    }.items()
}
"""Dialects that need no ``CLASS``: mount name → dotted path."""
NAME = Text(
    text="the name of a mount: letters, digits, hyphens, 64 at most", pattern=r"[\w-]{1,64}", example="partners"
)


@value
class Problem:
    """A problem with a setting, and how to fix it."""

    setting: str
    """Where it is, as the project writes it: ``ASYNC_EXCHANGE['CAPACITY']``."""
    message: str
    hint: str
    key: str = ""
    """The key of ``ASYNC_EXCHANGE``; ``""`` for the setting as a whole."""
    is_unknown: bool = False
    """Whether ``key`` does not exist."""
    check_id: str = ""
    """The system check that reports it, if not the one of ``key``."""

    def __str__(self) -> str:
        return f"{self.setting}: {self.message} {self.hint}"


def suggestion(name: Any, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the most similar one in ``known``, or all of them."""
    listed = sorted(known)
    close = difflib.get_close_matches(str(name).upper(), [each.upper() for each in listed], n=1, cutoff=0.6)
    meant = next((each for each in listed if close and each.upper() == close[0]), None)
    return f"Did you mean {meant!r}?" if meant else f"Valid names: {', '.join(listed)}."


def entries(given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Name → options of each mount. ``prefer`` is mounted by default; None unmounts a dialect."""
    return {name: options for name, options in {"prefer": {}, **given}.items() if options is not None}


def mount(name: str, options: Mapping[str, Any]) -> Dialect:
    """Return the dialect of one entry. Raises Mistake if the entry has a problem."""
    found = list(_read(name, options))
    problem = next((each for each in found if isinstance(each, Problem)), None)
    if problem is not None:
        raise Mistake(f"{problem.setting}: {problem.message}", problem.hint)
    return next(each for each in found if isinstance(each, Dialect))


def mistakes(name: str, options: Any) -> Iterator[Problem]:
    """Yield the problems of one entry."""
    return (each for each in _read(name, options) if isinstance(each, Problem))


def _read(name: str, options: Any) -> Iterator[Problem | Dialect]:
    """Yield the problems of one entry or, if there are none, its dialect."""
    setting = f"ASYNC_EXCHANGE['DIALECTS'][{name!r}]"
    try:
        NAME(name)
        if not isinstance(options, Mapping):
            raise Mistake(f"{shown(options)} is not a dictionary.", "Write {} for no options, or None to unmount it.")
        cls = dotted_paths.dialect_class(_path(name, options))
    except Mistake as error:
        yield Problem(setting=setting, message=str(error), hint=error.hint, key="DIALECTS")
        return
    validators: dict[str, Any] = {
        field.name.upper(): cls.POLICY.validator(field.name) for field in dataclasses.fields(cls.POLICY)
    }
    validators["PREFIX"] = PATH
    values: dict[str, Any] = {}
    is_valid = True
    given = {"DELIVERY": cls.POLICY.delivery, **options}  # the default may name unknown rules, too
    for key in (key for key in given if key != "CLASS"):
        try:
            if key not in validators:
                raise Mistake(f"{cls.__name__} has no such option.", suggestion(key, [*validators, "CLASS"]))
            values[key] = validators[key](given[key])
            _require_known(cls, key, values[key])
        except Mistake as error:
            is_valid = False
            yield Problem(setting=f"{setting}[{key!r}]", message=str(error), hint=error.hint, key="DIALECTS")
    if is_valid:
        prefix = values.pop("PREFIX", "")
        policy = dataclasses.replace(cls.POLICY, **{key.lower(): each for key, each in values.items()})
        yield cls(name=name, prefix=prefix, policy=policy)


def _path(name: str, options: Mapping[str, Any]) -> Any:
    if path := options.get("CLASS"):
        return path
    if name not in BUILT_IN:
        raise Mistake(
            "there is no dialect with this name.", f"{suggestion(name, BUILT_IN)} A dialect of your own needs a CLASS."
        )
    return BUILT_IN[name]


def delivery_rules(cls: type[Dialect]) -> Mapping[str, DeliveryRules]:
    """Values of ``DELIVERY`` for a mount of ``cls``: its own rules and those of the built-in dialects, by name."""
    known = (dotted_paths.dialect_class(path) for path in BUILT_IN.values())
    return {name: rules for each in (*known, cls) for name, rules in each.DELIVERY_RULES.items()}


def _require_known(cls: type[Dialect], key: str, given: Any) -> None:
    """Raise Mistake for what the dialect does not have: the rules in ``DELIVERY``, a code in ``TEXTS``, a request that
    ``MAX_RETENTION`` would limit.
    """
    if key == "DELIVERY" and given not in (known := delivery_rules(cls)):
        raise Mistake(f"{given!r} is unknown.", f"Write one of {', '.join(map(repr, sorted(known)))}.")
    if key == "MAX_RETENTION" and given is not None and "change" not in cls.ROUTES:
        raise Mistake(f"clients of {cls.__name__} cannot change a deletion date.", "Remove it, or set RETENTION.")
    if key == "TEXTS":
        codes = {str(wire.code) for wire in cls.CODES.values()}
        for code in given.keys() - codes:
            raise Mistake(
                f"no error of {cls.__name__} has the code {code!r}.", f"Valid codes: {', '.join(sorted(codes))}."
            )
