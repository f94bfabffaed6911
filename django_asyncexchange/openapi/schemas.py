"""JSON Schemas (2020-12, as in OpenAPI 3.1) of documents, from examples; and what they are in OpenAPI 3.0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "uri": re.compile(r"https?://\S+"),
}
MAPS = frozenset({"errors"})
"""Members whose keys are data: names of fields."""
DATA = frozenset({"default", "enum", "example", "examples"})
"""Keys whose values are no schemas, whatever they look like."""
NAMED = frozenset({"headers", "parameters", "properties", "responses", "schemas"})
"""Keys of maps whose own keys are names."""
TYPES: Mapping[type, str] = {dict: "object", list: "array", bool: "boolean", int: "integer", float: "number"}


class Describer:
    """Makes schemas of examples. ``fields``: member → what it is; ``words``: sets of which a text may be one."""

    def __init__(self, fields: Mapping[str, str], words: Sequence[Sequence[str]]) -> None:
        self.fields = fields
        self.words = words

    def schema(self, examples: Iterable[Any]) -> dict[str, Any]:
        """The schema that all ``examples`` meet, and nothing that contradicts one of them."""
        kinds: dict[str, list[Any]] = {}
        for example in examples:
            kinds.setdefault("null" if example is None else TYPES.get(type(example), "string"), []).append(example)
        is_nullable = kinds.pop("null", None) is not None
        known = [self._of_kind(kind, found) for kind, found in kinds.items()]
        if not known:
            return {"type": "null"} if is_nullable else {}
        if len(known) > 1:
            return {"anyOf": [*known, {"type": "null"}] if is_nullable else known}
        return nullable(known[0]) if is_nullable else known[0]

    def _of_kind(self, kind: str, examples: list[Any]) -> dict[str, Any]:
        if kind == "object":
            return self._object(examples)
        if kind == "array":
            return {"type": kind, "items": self.schema(item for example in examples for item in example)}
        return self._text(examples) if kind == "string" else {"type": kind}

    def _object(self, examples: list[Mapping[str, Any]]) -> dict[str, Any]:
        names = dict.fromkeys(name for example in examples for name in example)
        properties = {
            name: self._described(name, [example[name] for example in examples if name in example]) for name in names
        }
        required = [name for name in names if all(name in example for example in examples)]
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}

    def _described(self, name: str, examples: list[Any]) -> dict[str, Any]:
        if name in MAPS and all(isinstance(example, dict) for example in examples):
            values = [each for example in examples for each in example.values()]
            found: dict[str, Any] = {"type": "object", "additionalProperties": self.schema(values)}
        else:
            found = self.schema(examples)
        return {**found, "description": self.fields[name]} if name in self.fields else found

    def _text(self, examples: list[str]) -> dict[str, Any]:
        for words in self.words:
            if set(examples) <= set(words):
                return {"type": "string", "enum": list(dict.fromkeys(words))}
        name = next((name for name, form in FORMATS.items() if all(map(form.fullmatch, examples))), None)
        return {"type": "string", "format": name} if name else {"type": "string"}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema``, or null."""
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **more, "type": [schema["type"], "null"]}


def in_3_0(part: Any, is_map: bool = False) -> Any:
    """``part`` of a document in OpenAPI 3.0, where null is no type. ``is_map``: its keys are names of the project."""
    if isinstance(part, list):
        return [in_3_0(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {
        name: each if name in DATA and not is_map else in_3_0(each, name in NAMED and not is_map)
        for name, each in part.items()
    }
    kinds = None if is_map else part.get("type")
    if kinds == "null":
        return {**found, "type": "string", "enum": [None], "nullable": True}
    if isinstance(kinds, list) and "null" in kinds:
        (kind,) = (each for each in kinds if each != "null")
        return {**found, "type": kind, "nullable": True}
    return found
