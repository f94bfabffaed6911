"""OpenAPI operations of the task and webhook addresses of one mount."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..dialects.base import Dialect, Parameter, Subscriptions
from . import rendering
from .components import Components

Operation = dict[str, Any]

SUMMARIES = {
    "status": "Status of a task",
    "monitor": "Status of a task, as an operation",
    "result": "Result of a task",
    "replay": "Response of the call",
    "download": "Result of a task, by a signed link",
    "events": "Events of a task",
    "list": "List of tasks",
    "cancel": "Cancel a task",
    "cancel_operation": "Cancel an operation",
    "cancel_form": "Cancel a task, as a form",
    "change": "Change when the result is deleted",
}
DESCRIPTIONS = {
    "status": "Poll it until the task has finished.",
    "monitor": "Always answered with 200, and never with the result.",
    "result": "The response of the call, or why there is none.",
    "replay": "The response of the call, as if it had been synchronous.",
    "download": "The response of the call as a file; the signature in the address is the authorization.",
    "events": "Server-sent events: how the task goes on, until it has finished.",
    "list": "The tasks of the account, newest first.",
    "cancel": "Cancels an unfinished task.",
    "cancel_operation": "Cancels an unfinished task.",
    "cancel_form": "Cancels an unfinished task; browsers are sent back to its page.",
    "change": "Keeps the result for longer, or not as long.",
    "remove": "Cancels an unfinished task, and deletes the result of a finished one.",
}
WEBHOOK_SUMMARIES = {
    "list": "List of webhooks",
    "create": "Create a webhook",
    "write": "Create and change webhooks",
    "retrieve": "A webhook",
    "change": "Change a webhook",
    "remove": "Delete a webhook",
    "remove_many": "Delete webhooks",
    "rotate": "Change the secret of a webhook",
    "deliveries": "Deliveries of a webhook",
    "resend": "Send messages again",
    "callback_secret": "Secret of the callbacks",
    "rotate_callback_secret": "Change the secret of the callbacks",
}
WEBHOOK_DESCRIPTION = "For administrators of the account."


def paths(dialect: Dialect, components: Components, security: list[Any]) -> dict[str, dict[str, Operation]]:
    """The task addresses of a mount, and its webhook addresses."""
    found: dict[str, dict[str, Operation]] = {}
    for route, place in dialect.ROUTES.items():
        examples = list(rendering.of_task(dialect, route))
        operation: Operation = {
            "operationId": components.id_of(dialect, route),
            "summary": SUMMARIES.get(route, route),
            "description": DESCRIPTIONS.get(place.verb, DESCRIPTIONS.get(route, SUMMARIES.get(route, route))),
            "tags": [tag_of(dialect)],
            **_parameters(place.path, dialect.PARAMETERS.get(route, ())),
            **_body(dialect.BODIES.get(route)),
            "responses": components.responses(dialect, examples),
            "security": [] if place.public else security,
        }
        found.setdefault(f"{dialect.prefix}/{place.path}", {})[place.method.lower()] = operation
    if dialect.SUBSCRIPTIONS is not None:
        _add_webhooks(found, dialect, dialect.SUBSCRIPTIONS, components, security)
    return found


def _add_webhooks(
    found: dict[str, dict[str, Operation]],
    dialect: Dialect,
    resource: Subscriptions,
    components: Components,
    security: list[Any],
) -> None:
    for verb, place in resource.ROUTES.items():
        operation: Operation = {
            "operationId": components.id_of(dialect, f"webhook_{verb}"),
            "summary": WEBHOOK_SUMMARIES.get(verb, verb),
            "description": WEBHOOK_DESCRIPTION,
            "tags": [tag_of(dialect)],
            **_parameters(place.path, resource.PARAMETERS.get(verb, ())),
            **_body(resource.BODIES.get(verb)),
            "responses": components.responses(dialect, list(rendering.of_webhook(dialect, resource, verb))),
            "security": security,
        }
        found.setdefault(f"{dialect.prefix}/{place.path}", {})[place.method.lower()] = operation


def tag_of(dialect: Dialect) -> str:
    return f"Asynchronous calls: {dialect.name}"


def tags(mounts: Iterable[Dialect]) -> list[dict[str, str]]:
    return [
        {
            "name": tag_of(mount),
            "description": f"Tasks of calls that are answered later, in the dialect `{mount.name}`.",
        }
        for mount in mounts
    ]


def parameter(given: Parameter) -> dict[str, Any]:
    """``given`` as a parameter object."""
    found: dict[str, Any] = {
        "name": given.name,
        "in": given.place,
        "description": given.description,
        "schema": dict(given.schema),
    }
    return found if given.example is None else {**found, "example": given.example}


def _parameters(path: str, given: Iterable[Parameter]) -> dict[str, Any]:
    found = [parameter(each) for each in given]
    if "{id}" in path:
        schema = {"type": "string", "format": "uuid"}
        id = {"name": "id", "in": "path", "required": True, "description": "The id in the address.", "schema": schema}
        found.insert(0, id)
    return {"parameters": found} if found else {}


def _body(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": dict(schema)}}}}
