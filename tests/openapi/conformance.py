"""Compares responses with an OpenAPI 3.1 document: status, required headers, media type, JSON Schema of the body."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from django_asyncexchange.conf import conf
from django_asyncexchange.openapi.document import document

URI = "urn:document"
known: dict[tuple[Any, ...], Document] = {}


class Document:
    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        resource = Resource(contents=content, specification=DRAFT202012)
        self.registry: Any = Registry().with_resource(URI, resource)

    def errors(self, schema: Any, value: Any) -> list[str]:
        absolute = json.loads(json.dumps(schema).replace('"$ref": "#/', f'"$ref": "{URI}#/'))
        validator = Draft202012Validator(absolute, registry=self.registry, format_checker=FormatChecker())
        return [f"{each.json_path}: {each.message}" for each in validator.iter_errors(value)]

    def problems(self, operation: dict[str, Any], response: Any) -> list[str]:
        """What of ``response`` the operation does not say, or says otherwise."""
        status = str(response.status_code)
        described = operation["responses"].get(status) or operation["responses"].get("default")
        if described is None:
            return [f"status {status} is not described"]
        headers = described.get("headers", {})
        missing = [name for name, each in headers.items() if each.get("required") and not response.has_header(name)]
        return [f"no header {name}" for name in missing] + self._of_body(described.get("content", {}), response)

    def _of_body(self, content: dict[str, Any], response: Any) -> list[str]:
        body = response.getvalue() if response.streaming else response.content
        media_type = response.get("Content-Type", "").partition(";")[0]
        if not body:
            return []
        described = content.get(media_type) or content.get("*/*")
        if described is None:
            return [f"media type {media_type!r} is not described"]
        return self.errors(described["schema"], json.loads(body)) if media_type.endswith("json") else []


def of_mounts() -> Document:
    """The document of the mounts of the current settings."""
    key = tuple(conf.mounts)
    if key not in known:
        known.clear()
        known[key] = Document(document())
    return known[key]


def problems(mount: str, route: str, response: Any) -> list[str]:
    """What the document does not say of ``response``, that of a task address."""
    dialect, found = conf.dialect(mount), of_mounts()
    place = dialect.ROUTES[route]
    return found.problems(found.content["paths"][f"{dialect.prefix}/{place.path}"][place.method.lower()], response)


def problems_of_call(mount: str, response: Any) -> list[str]:
    """What the document does not say of ``response``, that to a call that is answered later or refused."""
    from django_asyncexchange.openapi import rendering
    from django_asyncexchange.openapi.components import Components

    dialect, components = conf.dialect(mount), Components()
    responses = components.responses(dialect, rendering.of_call(dialect))
    shared = {"schemas": components.schemas, "examples": components.examples}
    return Document({"components": shared}).problems({"responses": responses}, response)
