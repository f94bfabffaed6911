"""drf-spectacular: its document with the task addresses, and with what calls of asynchronous views gain by them.

>>> SPECTACULAR_SETTINGS = {
...     "POSTPROCESSING_HOOKS": [
...         "drf_spectacular.hooks.postprocess_schema_enums",
...         "django_asyncexchange.openapi.spectacular.postprocess",
...     ],
... }
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, camelize_operation
from drf_spectacular.settings import spectacular_settings
from rest_framework.versioning import URLPathVersioning
from rest_framework.views import APIView

from ..conf import urlconf
from ..configuration import valid_mounts
from ..dialects.base import Dialect, Trigger
from ..intake import admission
from ..protocol.values import value
from . import calls, messages, operations, schemas, security
from .components import Components


@value
class Described:
    """One operation of the document, and the view behind it."""

    shown: str
    """Its path in the document, which may be trimmed."""
    path: str
    """Its path on the site, a template."""
    method: str
    """In lower case."""
    view: Any


def postprocess(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """The postprocessing hook."""
    mounts, components = valid_mounts(), Components(result)
    schemes = _schemes()
    more: dict[str, Any] = {}
    for each in list(_described(result["paths"], generator)):
        operation = result["paths"][each.shown][each.method]
        found = calls.claiming(_eligible(each, mounts), each.method.upper(), each.path)
        for mount in (mount for mount in found if mount.TRIGGER is Trigger.PATH and each.shown == each.path):
            path, later = calls.of_path(each.path, operation, mount, components)
            more.setdefault(path, {})[each.method] = later
        calls.add(operation, [mount for mount in found if mount.TRIGGER is not Trigger.PATH], components)
    for mount in mounts:
        more.update(operations.paths(mount, components, security.requirements(schemes)))
    if spectacular_settings.SCHEMA_PATH_PREFIX_TRIM:
        for operation in (each for item in more.values() for each in item.values()):
            operation["servers"] = [{"url": "/"}]
    result["paths"].update(more)
    _add(result, mounts, components, schemes)
    return _in_version(result)


def _add(result: dict[str, Any], mounts: Sequence[Dialect], components: Components, schemes: dict[str, Any]) -> None:
    """Add all but the paths."""
    notified = {name: item for mount in mounts for name, item in messages.webhooks(mount, components).items()}
    key = "x-webhooks" if result["openapi"].startswith("3.0") else "webhooks"
    result[key] = {**result.get(key, {}), **notified}
    result["tags"] = [*result.get("tags", []), *operations.tags(mounts)]
    own = {"schemas": components.schemas, "examples": components.examples, "securitySchemes": schemes}
    for name, parts in own.items():
        known = result.setdefault("components", {}).setdefault(name, {})
        known.update({key: part for key, part in parts.items() if key not in known})


def _in_version(result: dict[str, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = schemas.in_3_0(result) if result["openapi"].startswith("3.0") else result
    return converted


# Views ----------------------------------------------------------------------------------------------------------------


def _described(paths: dict[str, Any], generator: Any) -> Iterator[Described]:
    """The operations of the document whose views are known."""
    found = []
    for path, _, method, callback in generator.endpoints:
        view = generator.create_view(callback, method)
        found.append((generator.coerce_path(path, method, view), method.lower(), view, callback))
    prefix = _prefix([template for template, *_ in found], {type(view) for *_, view, _ in found})
    known = {}
    for template, method, view, callback in found:
        path = _with_version(template, view.versioning_class, generator.api_version)
        known[_shown(path, prefix), method] = path, callback
    for shown, item in paths.items():
        for method in item:
            if (shown, method) in known:
                path, callback = known[shown, method]
                yield Described(shown=shown, path=path, method=method, view=callback)


def _prefix(templates: Sequence[str], views: set[type]) -> str:
    """The pattern of the prefix that drf-spectacular trims."""
    prefix = spectacular_settings.SCHEMA_PATH_PREFIX
    if prefix is None:
        prefix = re.escape(posixpath.commonpath(templates)) if len(views) > 1 else "/"
    return prefix if prefix.startswith("^") else f"^{prefix}"


def _with_version(template: str, versioning: Any, version: str | None) -> str:
    """The path of ``template`` in the version of the document."""
    if versioning is None or not issubclass(versioning, URLPathVersioning):
        return template
    version = version or versioning.default_version
    return template.replace(f"{{{versioning.version_param}}}", version) if version else template


def _shown(path: str, prefix: str) -> str:
    """``path`` as the document shows it."""
    if spectacular_settings.SCHEMA_PATH_PREFIX_TRIM:
        path = re.sub(prefix, "", path, flags=re.IGNORECASE)
    path = f"{spectacular_settings.SCHEMA_PATH_PREFIX_INSERT or ''}{path}"
    path = path if path.startswith("/") else f"/{path}"
    if spectacular_settings.CAMELIZE_NAMES:
        path, _ = camelize_operation(path, {"operationId": "any"})  # type: ignore[no-untyped-call]
    return path


def _eligible(each: Described, mounts: Sequence[Dialect]) -> list[Dialect]:
    """The mounts in which the view may be called asynchronously."""
    request: Any = HttpRequest()
    request.method, request.path_info, request.path = each.method.upper(), each.path, each.path
    request.resolver_match = SimpleNamespace(view_name=_name_of(each))
    return [mount for mount in mounts if admission.is_eligible(request, each.view, mount)]


def _name_of(each: Described) -> str:
    same = (known for known in urlconf.addresses() if known.view is each.view and each.path.startswith(known.prefix))
    return next((known.name for known in same), "")


# Security -------------------------------------------------------------------------------------------------------------


def _schemes() -> dict[str, Any]:
    """The schemes of the project's authentication classes, as drf-spectacular names and describes them."""
    view = APIView()
    view.get_authenticators = security.of_rest_framework  # type: ignore[method-assign]
    schema = AutoSchema()
    schema.view, schema.registry, schema.method, schema.path = view, ComponentRegistry(), "GET", "/"
    schema.get_auth()
    return {**schema.registry.build({}).get("securitySchemes", {}), **security.of_ninja()}
