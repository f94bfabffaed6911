"""The task endpoints of every mounted dialect, for one ``path("", include("django_asyncexchange.urls"))``.

Built from ``Dialect.ROUTES`` and ``Dialect.SUBSCRIPTIONS``. Every address works with and without a trailing slash, and
any other address below a dialect's own first segment is its 404; beside its webhooks a project may have its own.
A mount that is configured wrongly has none: the system checks, which import this, name it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import connections, transaction
from django.urls import URLPattern, re_path

from .configuration import mountable
from .dialects.base import Dialect, Route
from .endpoints.base import Endpoint
from .endpoints.tasks import TaskView
from .endpoints.webhooks import WebhookView

app_name = "asyncexchange"

ID = r"(?P<id>[^/]+)"


def routes(dialect: Dialect) -> Iterator[URLPattern]:
    """The URL patterns of one mount."""
    yield from addresses(dialect, dialect.ROUTES, TaskView)
    if dialect.SUBSCRIPTIONS is not None:
        yield from addresses(dialect, dialect.SUBSCRIPTIONS.ROUTES, WebhookView)
    for segment in {route.path.partition("/")[0] for route in dialect.ROUTES.values()}:
        nothing = alone(TaskView.as_view(dialect=dialect, verbs={}))
        pattern = rf"^{prefix_of(dialect)}{re.escape(segment)}(/[\s\S]*)?\Z"
        yield re_path(pattern, nothing, name=f"{dialect.name}-{segment}-nothing")


def addresses(dialect: Dialect, table: Mapping[str, Route], view: type[Endpoint]) -> Iterator[URLPattern]:
    """One pattern for each path in ``table``, with the verbs that its methods name."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for verb, route in table.items():
        found[route.path.strip("/")][route.method] = verb
    kind = "" if view is TaskView else "webhook-"
    for path, verbs in sorted(found.items(), key=lambda item: "{id}" in item[0]):  # a word is not somebody's id
        pattern = re.escape(path).replace(re.escape("{id}"), ID)
        bound = alone(view.as_view(dialect=dialect, routes=table, verbs=verbs))
        yield re_path(
            rf"^{prefix_of(dialect)}{pattern}/?\Z", bound, name=f"{dialect.name}-{kind}{'-'.join(verbs.values())}"
        )


def alone(view: Callable[..., Any]) -> Callable[..., Any]:
    """Without ATOMIC_REQUESTS, which would take SQLite's only write lock (IMMEDIATE): polls would wait for runs."""
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(view)
    return view


def prefix_of(dialect: Dialect) -> str:
    return re.escape(dialect.prefix.lstrip("/") + "/") if dialect.prefix else ""


urlpatterns = [pattern for dialect in mountable() for pattern in routes(dialect)]
