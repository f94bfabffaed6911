"""MoySklad's ``filter`` and ``order``, applied in memory to documents such as an account's webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...exceptions import FilterRefused, OrderUnknown
from . import filters as query_language

TEXTS = frozenset({"~", "~=", "=~"})
OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda field, text: field == text,
    "!=": lambda field, text: field != text,
    "~": lambda field, text: text.lower() in field.lower(),
    "~=": lambda field, text: field.lower().startswith(text.lower()),
    "=~": lambda field, text: field.lower().endswith(text.lower()),
}
FIELDS = ("id", "accountId", "entityType", "url", "method", "enabled", "action", "diffType")


def selected(rows: list[dict[str, object]], text: str) -> list[dict[str, object]]:
    """``rows`` that match every condition; ``=`` repeated on one field matches any of its values."""
    terms = [term(condition) for condition in query_language.split(text)]
    groups: dict[tuple[str, str, int], list[str]] = {}
    for number, (field, operator, wanted) in enumerate(terms):
        groups.setdefault((field, operator, 0 if operator == "=" else number), []).append(wanted)
    return [
        row
        for row in rows
        if all(
            any(OPERATORS[op](plain(row.get(field)), one) for one in texts) for (field, op, _), texts in groups.items()
        )
    ]


def term(condition: str) -> tuple[str, str, str]:
    match = query_language.CONDITION.fullmatch(condition)
    if (
        match is None
        or match[1] not in FIELDS
        or match[2] not in OPERATORS
        or (match[2] in TEXTS and match[1] != "url")
    ):
        raise FilterRefused(parameter="filter", value=condition)
    return match[1], match[2], match[3].replace("\\;", ";")


def plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value or "")


def ordered(rows: list[dict[str, object]], text: str) -> list[dict[str, object]]:
    for part in reversed(query_language.split(text)):
        field, comma, direction = part.partition(",")
        if field not in FIELDS:
            raise OrderUnknown(parameter="order", field=field, allowed=", ".join(FIELDS))
        is_down = query_language.sign_of(field, comma + direction) == "-"
        rows = sorted(rows, key=lambda row: plain(row.get(field)), reverse=is_down)
    return rows
