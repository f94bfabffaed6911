"""URLconf of the task and webhook endpoints of all mounts: ``path("", include("django_asyncexchange.urls"))``.

Built from ``Dialect.ROUTES`` and ``Dialect.SUBSCRIPTIONS``. Every URL works with and without a trailing slash. Any
other URL below the first segment of a dialect's task routes is that dialect's 404; next to its webhook routes a project
may have URLs of its own. A mount with invalid settings has no routes: the system checks, which import this, report it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import connections, transaction
from django.urls import URLPattern, re_path

from .configuration import valid_mounts
from .dialects.base import Dialect, Route
from .endpoints.base import Endpoint
from .endpoints.tasks import TaskView
from .endpoints.webhooks import WebhookView

app_name = "asyncexchange"

ID = r"(?P<id>[^/]+)"


def routes(dialect: Dialect) -> Iterator[URLPattern]:
    """URL patterns of one mount."""
    yield from addresses(dialect, dialect.ROUTES, TaskView)
    if dialect.SUBSCRIPTIONS is not None:
        yield from addresses(dialect, dialect.SUBSCRIPTIONS.ROUTES, WebhookView)
    for segment in {route.path.partition("/")[0] for route in dialect.ROUTES.values()}:
        not_found = non_atomic(TaskView.as_view(dialect=dialect, verbs={}))
        pattern = rf"^{prefix_of(dialect)}{re.escape(segment)}(/[\s\S]*)?\Z"
        yield re_path(pattern, not_found, name=f"{dialect.name}-{segment}-nothing")


def addresses(dialect: Dialect, table: Mapping[str, Route], view: type[Endpoint]) -> Iterator[URLPattern]:
    """One pattern for each path in ``table``, with the verb of each HTTP method."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for verb, route in table.items():
        found[route.path.strip("/")][route.method] = verb
    kind = "" if view is TaskView else "webhook-"
    for path, verbs in sorted(found.items(), key=lambda item: "{id}" in item[0]):  # literal paths before {id}
        pattern = re.escape(path).replace(re.escape("{id}"), ID)
        bound = non_atomic(view.as_view(dialect=dialect, routes=table, verbs=verbs))
        yield re_path(
            rf"^{prefix_of(dialect)}{pattern}/?\Z", bound, name=f"{dialect.name}-{kind}{'-'.join(verbs.values())}"
        )


def non_atomic(view: Callable[..., Any]) -> Callable[..., Any]:
    """Exempt ``view`` from ATOMIC_REQUESTS: with SQLite's IMMEDIATE transactions, polls would wait for runs."""
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(view)
    return view


def prefix_of(dialect: Dialect) -> str:
    return re.escape(dialect.prefix.lstrip("/") + "/") if dialect.prefix else ""


urlpatterns = [pattern for dialect in valid_mounts() for pattern in routes(dialect)]
