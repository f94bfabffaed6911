"""Finds users and tokens of the project, by a statement that is prepared once."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth.models import UserManager
from django.db import models, router

from ..conf import conf
from ..sql.queries import PreparedRows, Slot

PLAIN: tuple[Any, ...] = (models.Manager, UserManager)
"""Managers that find the same rows for everybody. A project's own manager may filter by the current user or tenant."""


def has_plain_manager(model: type[models.Model]) -> bool:
    """Whether the default manager of ``model`` finds the same rows for everybody."""
    return type(model._default_manager) in PLAIN


def find(model: type[models.Model], field: str, value: Any) -> list[Any]:
    """Rows of the default manager with ``field = value``, in the database that the routers choose."""
    if has_plain_manager(model):
        return _prepared(model, field, conf.project("USE_TZ")).all(router.db_for_read(model), value=value)
    manager: Any = model._default_manager
    return list(manager.filter(**{field: value}))


def is_row(thing: Any, model: type[models.Model] = models.Model) -> bool:
    """Whether ``thing`` is an instance of ``model`` that was loaded from a database or saved.

    An instance that was made of the claims of a token is neither: its primary key proves nothing.
    """
    return isinstance(thing, model) and thing.pk is not None and not thing._state.adding


@functools.cache
def _prepared(model: type[models.Model], name: str, use_tz: bool) -> PreparedRows[Any]:
    """Cached by ``use_tz`` too: Django translates dates by it, and a test may override it."""
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return PreparedRows(lambda: model._default_manager.filter(**{name: Slot("value", field)}))
