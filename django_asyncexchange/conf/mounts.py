"""What the entries of ``DIALECTS`` become: dialects on their mounts, or what is wrong with the entry."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..dialects.base import Dialect
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
"""Dialects that need no ``CLASS``, by the name of their mount."""
NAME = Text(
    text="the name of a mount: letters, digits, hyphens, 64 at most", pattern=r"[\w-]{1,64}", example="partners"
)


@value
class Wrong:
    """A mistake and where it is."""

    place: str
    """As the project would write it: ``ASYNC_EXCHANGE['CAPACITY']``."""
    wrong: str
    cure: str
    key: str = ""
    """The key of ``ASYNC_EXCHANGE`` that it is in; ``""`` for the setting itself."""
    is_unknown: bool = False
    """Whether there is no such key."""
    check_id: str = ""
    """The system check that reports it, where that is not the one of its key."""

    def __str__(self) -> str:
        return f"{self.place}: {self.wrong} {self.cure}"


def nearest(name: Any, known: Iterable[str]) -> str:
    """A cure for a name that is unknown."""
    listed = sorted(known)
    close = difflib.get_close_matches(str(name).upper(), [each.upper() for each in listed], n=1, cutoff=0.6)
    meant = next((each for each in listed if close and each.upper() == close[0]), None)
    return f"Did you mean {meant!r}?" if meant else f"Known are {', '.join(listed)}."


def entries(given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The mounts that are asked for: ``prefer`` is among them unless it is None, as any other that is None is off."""
    return {name: options for name, options in {"prefer": {}, **given}.items() if options is not None}


def mount(name: str, options: Mapping[str, Any]) -> Dialect:
    """The dialect of one entry. Raises Mistake where the entry is wrong."""
    found = list(_read(name, options))
    wrong = next((each for each in found if isinstance(each, Wrong)), None)
    if wrong is not None:
        raise Mistake(f"{wrong.place}: {wrong.wrong}", wrong.cure)
    return next(each for each in found if isinstance(each, Dialect))


def mistakes(name: str, options: Any) -> Iterator[Wrong]:
    """What is wrong with one entry."""
    return (each for each in _read(name, options) if isinstance(each, Wrong))


def _read(name: str, options: Any) -> Iterator[Wrong | Dialect]:
    """All that is wrong with one entry; else its dialect."""
    place = f"ASYNC_EXCHANGE['DIALECTS'][{name!r}]"
    try:
        NAME(name)
        if not isinstance(options, Mapping):
            raise Mistake(f"{shown(options)} is no dictionary of options.", "Write {} for none, or None to unmount it.")
        cls = dotted_paths.dialect_class(_path(name, options))
    except Mistake as error:
        yield Wrong(place=place, wrong=str(error), cure=error.cure, key="DIALECTS")
        return
    readers: dict[str, Any] = {
        field.name.upper(): cls.POLICY.validator(field.name) for field in dataclasses.fields(cls.POLICY)
    }
    readers["PREFIX"] = PATH
    values: dict[str, Any] = {}
    is_right = True
    for key in (key for key in options if key != "CLASS"):
        try:
            if key not in readers:
                raise Mistake(f"this option of {cls.__name__} is unknown.", nearest(key, [*readers, "CLASS"]))
            values[key] = readers[key](options[key])
            _require_known(cls, key, values[key])
        except Mistake as error:
            is_right = False
            yield Wrong(place=f"{place}[{key!r}]", wrong=str(error), cure=error.cure, key="DIALECTS")
    if is_right:
        prefix = values.pop("PREFIX", "")
        policy = dataclasses.replace(cls.POLICY, **{key.lower(): each for key, each in values.items()})
        yield cls(name=name, prefix=prefix, policy=policy)


def _path(name: str, options: Mapping[str, Any]) -> Any:
    if path := options.get("CLASS"):
        return path
    if name not in BUILT_IN:
        raise Mistake("there is no dialect of that name.", f"{nearest(name, BUILT_IN)} Others need a CLASS.")
    return BUILT_IN[name]


def _require_known(cls: type[Dialect], key: str, given: Any) -> None:
    """Raise Mistake for a text that no error of the dialect would ever have."""
    if key == "TEXTS":
        codes = {str(wire.code) for wire in cls.CODES.values()}
        for code in given.keys() - codes:
            raise Mistake(
                f"no error of {cls.__name__} has the code {code!r}.", f"Known are {', '.join(sorted(codes))}."
            )
