"""What an operation of the project gains where its view may be called asynchronously.

The triggers become parameters, and the dialects' responses to an accepted and a refused call are added to the view's.
A dialect that is triggered by the path has a path of its own for each operation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from ..dialects.base import Dialect, Parameter, Trigger
from ..exceptions import AsyncExchangeError
from . import messages, rendering, samples
from .components import Components
from .operations import Operation, parameter

LONG_RUNNING = "x-ms-long-running-operation"
OPTIONS = "x-ms-long-running-operation-options"
LINKED = {"status": "The status of the task.", "result": "The response.", "cancel": "Cancels the task."}


def claiming(mounts: Iterable[Dialect], method: str, path: str) -> list[Dialect]:
    """The mounts of ``mounts`` that take calls of ``path`` with this method, where they have the trigger."""
    return [mount for mount in mounts if _takes(mount, method, path)]


def _takes(mount: Dialect, method: str, path: str) -> bool:
    if mount.TRIGGER is Trigger.PATH:
        return _path_in(mount, path) is not None
    call = samples.call(mount, method, path)
    if not mount.covers(path) or (mount.METHODS is not None and method not in mount.METHODS):
        return False
    try:
        mount.admit(call)
    except AsyncExchangeError:
        return False
    return mount.wants_async(call)


def _path_in(mount: Dialect, path: str) -> str | None:
    """The path by which ``mount`` makes a call of ``path`` asynchronous; None if there is none."""
    start = mount.target(samples.call(mount, "GET", f"{mount.prefix}/"))[0].rstrip("/")
    if not path.startswith(f"{start}/"):
        return None
    found = mount.prefix + path[len(start) :]
    return found if mount.wants_async(samples.call(mount, "GET", found)) else None


def add(operation: Operation, mounts: Sequence[Dialect], components: Components) -> None:
    """Add to ``operation`` what it means for ``mounts``, whose trigger is no path."""
    for mount in mounts:
        given = operation.setdefault("parameters", [])
        known = {(each.get("in"), str(each.get("name")).lower()) for each in given}
        given += [parameter(each) for each in parameters(mount) if (each.place, each.name.lower()) not in known]
        examples = list(rendering.of_call(mount))
        _merge(operation.setdefault("responses", {}), components.responses(mount, examples))
        _finish(operation, mount, components)


def of_path(path: str, operation: Operation, mount: Dialect, components: Components) -> tuple[str, Operation]:
    """The path and operation by which ``mount``, whose trigger is the path, takes calls of ``operation``."""
    place = _path_in(mount, path)
    assert place is not None, "the mount does not claim this path"
    later = copy.deepcopy(operation)
    later["operationId"] = f"{operation['operationId']}_{components.id_of(mount, 'later')}"
    later["responses"] = {status: each for status, each in later["responses"].items() if not status < "4"}
    _merge(later["responses"], components.responses(mount, rendering.of_call(mount)))
    if "{" in path:
        _merge(later["responses"], components.responses(mount, rendering.of_addresses(mount)))
    later["parameters"] = [*later.get("parameters", []), *(parameter(each) for each in parameters(mount))]
    _finish(later, mount, components)
    return place, later


def parameters(mount: Dialect) -> tuple[Parameter, ...]:
    """The parameters of a call: those that the dialect states, or the trigger."""
    if "submit" in mount.PARAMETERS or not mount.TRIGGER_NAME:
        return mount.PARAMETERS.get("submit", ())
    is_query = mount.TRIGGER is Trigger.QUERY
    trigger = Parameter(
        name=mount.TRIGGER_NAME,
        place="query" if is_query else "header",
        description="Answers the call later: 202, and the response is fetched afterwards.",
        schema={"type": "string"},
        example="true" if is_query else "yes",
    )
    return (trigger,)


def _finish(operation: Operation, mount: Dialect, components: Components) -> None:
    accepted = operation["responses"]["202"]
    if links := _links(mount, components):
        accepted["links"] = {**accepted.get("links", {}), **links}
    operation[LONG_RUNNING] = True
    if "Operation-Location" in accepted.get("headers", {}):
        operation[OPTIONS] = {"final-state-via": "location"}
    if (callback := messages.callback(mount, components)) is not None:
        operation.setdefault("callbacks", {})[components.id_of(mount, "callback")] = callback


def _links(mount: Dialect, components: Components) -> dict[str, Any]:
    """Links to the addresses of the task, where the body of the 202 has its id."""
    examples = [each for each in rendering.of_call(mount) if each.status == 202]
    if not examples or f'"id":"{samples.TASK}"'.encode() not in examples[0].body:
        return {}
    return {
        components.id_of(mount, route): {
            "operationId": components.id_of(mount, route),
            "parameters": {"id": "$response.body#/id"},
            "description": text,
        }
        for route, text in LINKED.items()
        if route in mount.ROUTES
    }


def _merge(known: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the responses ``more`` to ``known``, which may have the same statuses."""
    for status, response in more.items():
        if status not in known:
            known[status] = response
            continue
        own = known[status] = dict(known[status])
        own["description"] = " ".join(filter(None, [own.get("description", ""), response["description"]]))
        own["headers"] = {**_optional(own.get("headers", {})), **_optional(response.get("headers", {}))}
        own["content"] = _both(own.get("content", {}), response.get("content", {}))
        for name in ("headers", "content"):
            if not own[name]:
                del own[name]


def _optional(headers: dict[str, Any]) -> dict[str, Any]:
    """``headers`` of which none is required: one of two responses has them."""
    return {name: {key: part for key, part in each.items() if key != "required"} for name, each in headers.items()}


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Media types of two responses."""
    found = dict(one)
    for media_type, given in other.items():
        if media_type not in found:
            found[media_type] = given
            continue
        own = found[media_type]
        schemas = [*_alternatives(own.get("schema", {})), *_alternatives(given["schema"])]
        unique = [each for at, each in enumerate(schemas) if each not in schemas[:at]]
        schema = unique[0] if len(unique) == 1 else {"anyOf": unique}
        examples = {**own.get("examples", {}), **given.get("examples", {})}
        found[media_type] = {"schema": schema, **({"examples": examples} if examples else {})}
    return found


def _alternatives(schema: dict[str, Any]) -> list[Any]:
    return list(schema["anyOf"]) if set(schema) == {"anyOf"} else [schema]
