"""Rows of the project's own models, asked for with each run: of its users, of its tokens."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth.models import UserManager
from django.db import models, router

from ..conf import conf
from ..sql.queries import PreparedRows, Slot

PLAIN: tuple[Any, ...] = (models.Manager, UserManager)
"""Managers that always find the same rows. One of the project's own may hide some, or ask who is asking."""


def is_plain(model: type[models.Model]) -> bool:
    """Whether the model's manager finds the same rows for everybody."""
    return type(model._default_manager) in PLAIN


def found(model: type[models.Model], name: str, wanted: Any) -> list[Any]:
    """The rows that the model's manager finds, in the database that the project's routers name at this moment."""
    if is_plain(model):
        return _prepared(model, name, conf.project("USE_TZ")).all(router.db_for_read(model), wanted=wanted)
    manager: Any = model._default_manager
    return list(manager.filter(**{name: wanted}))


def is_row(thing: Any, model: type[models.Model] = models.Model) -> bool:
    """Whether ``thing`` is an instance of ``model`` that was read from or written to a database.

    One that a token's claims were made into is neither: its key proves nothing.
    """
    return isinstance(thing, model) and thing.pk is not None and not thing._state.adding


@functools.cache
def _prepared(model: type[models.Model], name: str, has_zones: bool) -> PreparedRows[Any]:
    """``has_zones`` is the setting USE_TZ, by which Django chooses how dates are read; a test may override it."""
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return PreparedRows(lambda: model._default_manager.filter(**{name: Slot("wanted", field)}))
