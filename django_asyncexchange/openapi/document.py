"""The OpenAPI 3.1 document of the task and webhook addresses of all mounts."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from ..configuration import valid_mounts
from . import messages, operations, security
from .components import Components

INFO = {
    "title": "Asynchronous calls",
    "version": metadata.version("django-asyncexchange"),
    "description": "Tasks of calls that are answered later: their status, their results, and webhooks.",
}


def document(server: str = "/") -> dict[str, Any]:
    """The document, as data for JSON. ``server``: URL of the site, with the script name if it has one."""
    mounts, components, schemes = valid_mounts(), Components(), security.schemes()
    paths = {}
    for mount in mounts:
        paths.update(operations.paths(mount, components, security.requirements(schemes)))
    notified = {name: item for mount in mounts for name, item in messages.webhooks(mount, components).items()}
    return {
        "openapi": "3.1.1",
        "info": INFO,
        "servers": [{"url": server}],
        "tags": operations.tags(mounts),
        "paths": paths,
        "webhooks": notified,
        "components": {
            "schemas": components.schemas,
            "examples": components.examples,
            "securitySchemes": schemes,
        },
    }
