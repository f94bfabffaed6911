"""Response objects of OpenAPI, whose schemas and examples are components that operations share."""

from __future__ import annotations

import http
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..dialects.base import Dialect
from ..models import Delivery, Webhook
from ..protocol.states import Reason, State
from .rendering import Example
from .schemas import Describer

URL = {"type": "string", "format": "uri-reference"}
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "location": ("Where to go on.", URL),
    "content-location": ("The status of the task.", URL),
    "operation-location": ("The task as an operation, whose address never leads to the result.", URL),
    "retry-after": ("Seconds to wait before the next request.", {"type": "integer"}),
    "preference-applied": ("The preferences that were applied (RFC 7240).", {"type": "string"}),
    "asyncresult": ("The status of the response of the call.", {"type": "integer"}),
    "sunset": ("When the result is deleted (RFC 8594).", {"type": "string"}),
    "www-authenticate": ("How to authenticate.", {"type": "string"}),
}
"""Response header in lower case → (what it is, its schema)."""
UNMENTIONED = frozenset(
    {
        "cache-control",
        "content-length",
        "content-security-policy",
        "content-type",
        "referrer-policy",
        "vary",
        "x-content-type-options",
    }
)
ANY_RESPONSE = "The response of the call, whatever its status."
PARTIAL = {
    "206": "The range of the result that was asked for.",
    "304": "The client has this result already.",
    "416": "The result does not have this range.",
}


class Names:
    """Names that differ from each other, and from those that are ``taken``."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._given: dict[tuple[str, str], str] = {}

    def name(self, wanted: str, owner: tuple[str, str]) -> str:
        """The name of ``owner``, the same at each call: ``wanted``, or with a number where another has it."""
        if owner not in self._given:
            numbered = (f"{wanted}_{number}" for number in itertools.count(2))
            found = next(name for name in itertools.chain([wanted], numbered) if name not in self._taken)
            self._taken.add(found)
            self._given[owner] = found
        return self._given[owner]


class Components:
    """The shared parts of a document, and names that differ from those in ``known``, to which they are added."""

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        self.examples: dict[str, Any] = {}
        self._documents: dict[str, tuple[Dialect, list[Any]]] = {}
        components = (known or {}).get("components", {})
        self._known_examples = frozenset(components.get("examples", {}))
        self._schema_names = Names(components.get("schemas", {}))
        self._ids = Names(_ids(known or {}))

    def id_of(self, dialect: Dialect, route: str) -> str:
        """The id of an operation, which no other has."""
        return self._ids.name(f"{dialect.name}_{route}".replace("-", "_"), (dialect.name, route))

    @property
    def schemas(self) -> dict[str, Any]:
        """Each is made of all examples of its document."""
        return {
            name: describer(dialect).schema(documents) for name, (dialect, documents) in sorted(self._documents.items())
        }

    def document(self, dialect: Dialect, name: str, examples: Iterable[Any]) -> dict[str, str]:
        """A reference to the schema of the document ``name``, of which these are examples."""
        key = self._schema_names.name(schema_name(dialect, name), (dialect.name, name))
        self._documents.setdefault(key, (dialect, []))[1].extend(examples)
        return {"$ref": f"#/components/schemas/{key}"}

    def responses(self, dialect: Dialect, examples: Iterable[Example]) -> dict[str, Any]:
        """The ``responses`` of an operation that responds with ``examples``."""
        by_status: dict[int, list[Example]] = {}
        for example in examples:
            by_status.setdefault(example.status, []).append(example)
        found = {str(status): self.response(dialect, by_status[status]) for status in sorted(by_status)}
        replayed = [example for each in by_status.values() for example in each if example.is_replay]
        if replayed:
            found.update({status: {"description": text} for status, text in PARTIAL.items() if status not in found})
            found["default"] = {"description": ANY_RESPONSE, "content": {"*/*": {"schema": {}}}}
            for status in (str(status) for status in by_status if status >= 400):
                found[status]["content"] = _or_of_the_view(found[status].get("content", {}))
        return found

    def response(self, dialect: Dialect, examples: Sequence[Example]) -> dict[str, Any]:
        """The response object of ``examples``, which have the same status."""
        found: dict[str, Any] = {"description": description_of(examples)}
        if headers := headers_of(examples):
            found["headers"] = headers
        content: dict[str, Any] = {}
        for media_type in dict.fromkeys(example.media_type for example in examples if example.media_type):
            same = [example for example in examples if example.media_type == media_type]
            content[media_type] = self._media_type(dialect, same)
        return {**found, "content": content} if content else found

    def _media_type(self, dialect: Dialect, examples: Sequence[Example]) -> dict[str, Any]:
        if examples[0].is_replay:
            return {"schema": {}}
        if examples[0].media_type == "text/html":
            return {"schema": {"type": "string"}}
        is_json = examples[0].media_type.endswith("json")
        references: dict[str, Any] = {}
        schemas: list[dict[str, str]] = []
        for example in examples:
            shown = json.loads(example.body) if is_json else example.body.decode()
            if example.name not in references:
                key = self._keep(f"{dialect.name}.{example.document}.{example.name}", example.text, shown)
                references[example.name] = {"$ref": f"#/components/examples/{key}"}
            if is_json and (schema := self.document(dialect, example.document, [shown])) not in schemas:
                schemas.append(schema)
        if not is_json:
            return {"schema": {"type": "string"}, "examples": references}
        return {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}, "examples": references}

    def _keep(self, name: str, text: str, shown: Any) -> str:
        """The key of an example; those with the same content share it."""
        base = key = re.sub(r"[^A-Za-z0-9._-]", "-", name)
        number = 1
        while key in self._known_examples or (key in self.examples and self.examples[key]["value"] != shown):
            number += 1
            key = f"{base}-{number}"
        self.examples[key] = {"summary": text, "value": shown}
        return key


def _ids(document: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the operations in ``document``."""
    items = [*document.get("paths", {}).values(), *document.get("webhooks", {}).values()]
    operations = (each for item in items for each in item.values() if isinstance(each, dict))
    return (each["operationId"] for each in operations if "operationId" in each)


def _or_of_the_view(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` of an error of the dialect, where the view's own response may have the same status."""
    either = {name: {**each, "schema": {"anyOf": [each["schema"], {}]}} for name, each in content.items()}
    return {**either, "*/*": {"schema": {}}}


def schema_name(dialect: Dialect, document: str) -> str:
    """In camel case, as schemas of OpenAPI are usually named."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", f"{dialect.name}_{document}"))


def describer(dialect: Dialect) -> Describer:
    words = (
        [str(state) for state in State],
        list(dialect.WORDS.values()),
        [str(reason) for reason in Reason],
        list(Webhook.ACTIONS),
        list(Delivery.STATES),
    )
    return Describer(dialect.FIELDS, words)


def description_of(examples: Sequence[Example]) -> str:
    texts = list(dict.fromkeys(example.text for example in examples))
    if all(example.is_replay for example in examples):
        return "The response of the call."
    phrase = http.HTTPStatus(examples[0].status).phrase
    return " ".join(texts) if examples[0].status >= 400 else f"{phrase}: {', '.join(texts)}."


def headers_of(examples: Sequence[Example]) -> dict[str, Any]:
    """The headers that say something; required are those that each example has."""
    names = dict.fromkeys(name for example in examples for name, _ in example.headers)
    found: dict[str, Any] = {}
    for name in names:
        if name.lower() in UNMENTIONED:
            continue
        text, schema = HEADERS.get(name.lower(), ("", {"type": "string"}))
        is_required = all(name in dict(example.headers) for example in examples)
        found[name] = {**({"description": text} if text else {}), "schema": schema}
        if is_required:
            found[name]["required"] = True
    return found
