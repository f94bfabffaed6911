"""The task endpoints of every mounted dialect, for one ``path("", include("django_asyncexchange.urls"))``.

Built from ``Dialect.ROUTES``. Every address works with and without a trailing slash, and any other address below a
dialect's own first segment is its 404.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from django.urls import URLPattern, re_path

from .conf import conf
from .dialects.base import Dialect
from .views import TaskView

app_name = "asyncexchange"

ID = r"(?P<id>[^/]+)"


def routes(dialect: Dialect) -> Iterator[URLPattern]:
    """The URL patterns of one mount."""
    prefix = re.escape(dialect.prefix.lstrip("/") + "/") if dialect.prefix else ""
    addresses: dict[str, dict[str, str]] = defaultdict(dict)
    for verb, route in dialect.ROUTES.items():
        addresses[route.path.strip("/")][route.method] = verb
    for path, verbs in addresses.items():
        pattern = re.escape(path).replace(re.escape("{id}"), ID)
        view = TaskView.as_view(dialect=dialect, verbs=verbs)
        yield re_path(rf"^{prefix}{pattern}/?\Z", view, name=f"{dialect.name}-{'-'.join(verbs.values())}")
    for segment in {path.partition("/")[0] for path in addresses}:
        nothing = TaskView.as_view(dialect=dialect, verbs={})
        yield re_path(rf"^{prefix}{re.escape(segment)}(/[\s\S]*)?\Z", nothing, name=f"{dialect.name}-{segment}-nothing")


urlpatterns = [pattern for dialect in conf.mounts for pattern in routes(dialect)]
